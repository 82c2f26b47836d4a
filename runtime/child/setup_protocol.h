// Messages between launcher and child, one SOCK_SEQPACKET datagram each, in the order that
// launcher.h draws. Both ends are one binary, so that the layout is the compiler's.
#ifndef OCID_RUNTIME_CHILD_SETUP_PROTOCOL_H_
#define OCID_RUNTIME_CHILD_SETUP_PROTOCOL_H_

#include <cstdint>

#include "runtime/plan/plan_format.h"

namespace ocid {

enum class MessageKind : uint32_t {
  kGo = 1,          // host -> child
  kConsole,         // child -> host, with the master's descriptor
  kAtRuntimeHooks,  // child -> host: run them, then say go
  kReady,           // child -> host: at the gate
  kFailed,          // child -> host: the last thing that it says
  kCloned,          // child -> host: `pid` goes on in its place, when told to go
  kTree,            // host -> child before the first go: a mount for `slot`, with its descriptor
  kListener,        // child -> host, with seccomp's descriptor: tell the agent, then say go
};

struct SetupMessage {
  MessageKind kind = MessageKind::kGo;
  uint32_t number = 0;  // kCloned: the pid, as the launcher sees it; kTree: the slot
  FailureRecord failure;
};

// `fd` < 0: none goes along. 0, or -errno.
long SendMessage(int socket, const SetupMessage& message, int fd = -1);

// 1 with a message, 0 at the end of the stream, -errno; -EPROTO for anything that is no message.
// `fd` receives a descriptor that came along, close-on-exec, or -1. `flags` as for recvmsg(2).
long ReceiveMessage(int socket, SetupMessage* message, int* fd, int flags = 0);

}  // namespace ocid

#endif  // OCID_RUNTIME_CHILD_SETUP_PROTOCOL_H_
