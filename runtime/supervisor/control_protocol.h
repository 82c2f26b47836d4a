// What daemon and supervisor say to each other.
//
//   daemon                                                  supervisor
//     | spawned; descriptors 3..6 donated (DonatedFd)            |
//     |--- kCreate {stdin, log limits} + plan, cgroup fds ------>| already queued when it starts
//     |                                                          | clone3, set-up, start gate
//     |<-- kReply {ProcessBody} | kLaunchFailed {failure} + plan-|
//     |--- kStart ---------------------------------------------->| gate opens, execve, poststart
//     |<-- kReply | kLaunchFailed {failure} + plan --------------|
//     |--- kExec {id, stdin} + plan, cgroup fds ---------------->| clone3, join, execve
//     |<-- kReply {ProcessBody} [+ stream socket] | kLaunchFailed|
//     |--- kSignal, kResize, kCloseStdin, kRemoveExec ---------->|
//     |<-- kReply -----------------------------------------------|
//     |--- kAttach {target, offsets} --------------------------->|
//     |<-- kReply + stream socket -------------------------------|
//     |--- kStatus {after, flags} ------------------------------>|
//     |<-- kReply {StatusBody, ExecEntry...} [+ pidfd] ----------|
//     |<-- kExited {target, ExitRecord} -------------------------| exit record is on disk
//     |<-- kLogState {writable, dropped} -------------------------| a full disk, or room again
//     |--- kShutdown ------------------------------------------->|
//     |<-- kReply -----------------------------------------------| and exits
//
// Transport: SOCK_SEQPACKET, one message each, descriptors by SCM_RIGHTS; the first connection is
// one end of a socketpair, later ones come through the listening socket `supervisor.sock`. Only
// processes of the supervisor's own user are let in, and a new connection replaces the old one.
//
// Every message is a MessageHeader and the body of its type, in the byte order of the machine. A
// message longer than its type's body is accepted and the rest ignored, so bodies may grow at their
// end; a shorter one is an error. Requests are answered with the request's id, not in order. What
// does not parse is answered with kInvalid and has no effect.
//
// The socket of kAttach carries AttachFrameHeader and up to kMaxAttachPayload bytes per message:
//
//   daemon                                                  supervisor
//     |<-- kOpened {AttachOpened} -----------------------------| where input and output go on
//     |<-- kStdout, kStderr {offset} + bytes ------------------|
//     |--- kReceived {ReceivedBody} -------------------------->| its client has these: from then on
//     |                                                        | what it does not have is kept
//     |--- kStdin + bytes ------------------------------------>| at most kStdinWindow beyond
//     |<-- kStdinTaken {offset} -------------------------------| what the process has taken
//     |<-- kExit {ExitRecord} | kDetached ---------------------|
//
// Plain data and pure functions; nothing allocates. Thread-safe.
#ifndef OCID_RUNTIME_SUPERVISOR_CONTROL_PROTOCOL_H_
#define OCID_RUNTIME_SUPERVISOR_CONTROL_PROTOCOL_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "runtime/plan/plan_format.h"
#include "runtime/supervisor/exit_record.h"
#include "runtime/supervisor/log_line.h"

namespace ocid {

inline constexpr uint16_t kControlVersion = 1;
inline constexpr size_t kMaxTargetId = 128;
inline constexpr size_t kMaxMessageFds = 19;  // plan, cgroup2, OOM kills, 16 cgroup v1 hierarchies
inline constexpr size_t kMaxCgroup1Fds = 16;
inline constexpr size_t kMaxStatusExecs = 16;
inline constexpr size_t kMaxAttachPayload = 65536;
// Input that a supervisor holds for a process that has not read it yet.
inline constexpr size_t kStdinWindow = 262144;

// Descriptors that a supervisor is born with; 0, 1 and 2 are /dev/null, anything else is closed.
enum DonatedFd : int {
  kControlFd = 3,       // the first control connection
  kListenFd = 4,        // listening, bound to supervisor.sock
  kContainerDirFd = 5,  // log and exit record
  kExecutableFd = 6,    // the sealed program it runs from; it closes this one at once
};

enum class MessageType : uint16_t {
  kReply = 1,
  kExited = 2,
  kLogState = 3,
  kCreate = 16,
  kStart,
  kSignal,
  kExec,
  kResize,
  kCloseStdin,
  kAttach,
  kStatus,
  kRemoveExec,
  kShutdown,
};

enum class ReplyCode : uint32_t {
  kOk = 0,
  kInvalid,       // the message does not parse, or a value is out of range
  kWrongState,    // value: the ProcessState found
  kNotFound,      // no such exec
  kExists,        // an exec of that id
  kLaunchFailed,  // FailureBody; the plan comes along as a descriptor
  kSystemError,   // value: errno
};

struct MessageHeader {
  uint32_t size = 0;  // of the message, this header included
  uint16_t type = 0;
  uint16_t version = kControlVersion;
  uint64_t request_id = 0;  // of the request, and of its reply; 0 in events
  uint32_t code = 0;        // ReplyCode, in replies
  int32_t value = 0;        // see ReplyCode
};

// Names an exec, or with length 0 the init.
struct TargetId {
  uint32_t length = 0;
  char bytes[kMaxTargetId] = {};
};

enum ProcessFlags : uint32_t {
  kFlagOpenStdin = 1,  // a pipe instead of /dev/null, where the plan makes no console
  kFlagCgroup2 = 2,    // the descriptor after the plan is a cgroup v2 directory
  kFlagAttach = 4,     // kExec: the reply brings a stream socket, attached before the program runs
  kFlagOomKills = 8,   // kCreate: the next descriptor is the file that counts the cgroup's OOM kills
};

// kCreate, kExec. Descriptors: plan, then the cgroup v2 directory if kFlagCgroup2, then the count of
// OOM kills if kFlagOomKills, then cgroup.procs files of v1 hierarchies.
struct LaunchBody {
  TargetId target;
  uint32_t flags = 0;
  uint32_t log_max_files = 0;  // kCreate
  uint32_t log_format = 0;     // kCreate: LogFileFormat
  uint64_t log_max_bytes = 0;  // kCreate
};

// kStart, kCloseStdin, kRemoveExec
struct TargetBody {
  TargetId target;
};

struct SignalBody {
  TargetId target;
  int32_t signal = 0;
};

struct ResizeBody {
  TargetId target;
  uint16_t rows = 0;
  uint16_t columns = 0;
};

struct AttachBody {
  TargetId target;
  uint32_t reserved = 0;
  uint64_t offsets[2] = {};  // stdout, stderr; UINT64_MAX: from now on
};

struct StatusRequestBody {
  uint64_t after = 0;       // execs that began after the one with this ordinal
  uint32_t want_pidfd = 0;  // 1: the reply brings a pidfd of the supervisor
  uint32_t reserved = 0;
};

enum class WireState : uint32_t {
  kNone = 0,
  kCreated,
  kStarting,
  kRunning,
  kExited,
};

// The reply to kCreate and kExec.
struct ProcessBody {
  uint32_t state = 0;  // WireState
  uint32_t reserved = 0;
  int64_t pid = 0;
  uint64_t start_time = 0;  // field 22 of /proc/PID/stat
  ExitRecord exit;
};

// kLaunchFailed. The plan that comes along puts it in words.
struct FailureBody {
  FailureRecord failure;
};

struct ExecEntry {
  TargetId target;
  uint32_t reserved = 0;
  uint64_t ordinal = 0;
  ProcessBody process;
};

// Followed by exec_count ExecEntry.
struct StatusBody {
  int64_t supervisor_pid = 0;
  ProcessBody init;
  uint64_t log_bytes = 0;
  uint64_t log_dropped_bytes = 0;
  uint32_t output_drained = 0;
  uint32_t exec_count = 0;
  uint32_t more = 0;  // 1: ask again with `after` set to the last entry's ordinal
  uint32_t reserved = 0;
};

// kExited
struct ExitedBody {
  TargetId target;
  uint32_t reserved = 0;
  ExitRecord exit;
};

// kLogState
struct LogStateBody {
  uint32_t writable = 0;
  uint32_t reserved = 0;
  uint64_t dropped_bytes = 0;
};

inline constexpr size_t kMaxControlMessageBytes =
    sizeof(MessageHeader) + sizeof(StatusBody) + kMaxStatusExecs * sizeof(ExecEntry);

enum class AttachFrameType : uint32_t {
  kStdin = 0,
  kStdout = 1,
  kStderr = 2,
  kStdinEnd = 3,  // to the supervisor; no payload
  kExit = 4,      // payload: ExitRecord
  kDetached = 5,  // no payload
  kOpened = 6,    // the first frame; payload: AttachOpened
  kStdinTaken = 7,  // no payload; offset: of input, up to which the process has it
  kReceived = 8,  // to the supervisor; payload: ReceivedBody
};

struct AttachOpened {
  // Bytes of input over all attachments: that the supervisor has, and that the process has taken.
  uint64_t stdin_accepted = 0;
  uint64_t stdin_taken = 0;
  uint64_t output_offsets[2] = {};  // where the replay begins
};

// Up to where the one who attached has each stream, and will not ask for it again.
struct ReceivedBody {
  uint64_t offsets[2] = {};
};

struct AttachFrameHeader {
  uint32_t type = 0;
  uint32_t length = 0;  // of the payload
  uint64_t offset = 0;  // kStdout, kStderr: of the payload's first byte in its stream; kStdinTaken
};

static_assert(sizeof(MessageHeader) == 24);
static_assert(sizeof(ExitRecord) == 64);
static_assert(sizeof(AttachFrameHeader) == 16);

// False if the message is not whole or of another version.
inline bool ParseHeader(const void* message, size_t size, MessageHeader* header) {
  if (size < sizeof(*header)) return false;
  memcpy(header, message, sizeof(*header));
  return header->size == size && header->version == kControlVersion;
}

// Copies the body out of a message whose header parsed. False if it is too short for a T.
template <typename T>
bool ParseBody(const void* message, size_t size, T* body) {
  if (size < sizeof(MessageHeader) + sizeof(T)) return false;
  memcpy(body, static_cast<const char*>(message) + sizeof(MessageHeader), sizeof(T));
  return true;
}

inline bool IsValid(const TargetId& target) { return target.length <= kMaxTargetId; }

inline bool SameTarget(const TargetId& a, const TargetId& b) {
  return a.length == b.length && memcmp(a.bytes, b.bytes, a.length) == 0;
}

// False if the id is too long. An empty one is the init's.
inline bool MakeTarget(const char* bytes, size_t length, TargetId* target) {
  if (length > kMaxTargetId) return false;
  *target = TargetId();
  target->length = static_cast<uint32_t>(length);
  if (length != 0) memcpy(target->bytes, bytes, length);
  return true;
}

// A frame is its header and exactly `length` bytes.
inline bool ParseFrame(const void* frame, size_t size, AttachFrameHeader* header) {
  if (size < sizeof(*header)) return false;
  memcpy(header, frame, sizeof(*header));
  return header->length <= kMaxAttachPayload && size == sizeof(*header) + header->length;
}

}  // namespace ocid

#endif  // OCID_RUNTIME_SUPERVISOR_CONTROL_PROTOCOL_H_
