#include "runtime/launch/seccomp_listener.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "runtime/base/raw_syscall.h"
#include "runtime/launch/host_files.h"

namespace ocid {
namespace {

long Connect(const char* path, raw::Fd* out) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const size_t size = strlen(path);
  if (size >= sizeof(address.sun_path)) return -ENAMETOOLONG;
  memcpy(address.sun_path, path, size);
  *out = raw::Fd(
      raw::Call(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!out->ok()) return -out->error();
  return raw::Retry(SYS_connect, out->get(), &address, sizeof(address));
}

iovec Piece(const char* text, size_t size) { return {const_cast<char*>(text), size}; }

long Send(int socket, iovec* pieces, size_t count, int fd) {
  union {
    cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {};
  msghdr header = {};
  header.msg_iov = pieces;
  header.msg_iovlen = count;
  header.msg_control = control.bytes;
  header.msg_controllen = sizeof(control.bytes);
  cmsghdr* const item = CMSG_FIRSTHDR(&header);
  item->cmsg_level = SOL_SOCKET;
  item->cmsg_type = SCM_RIGHTS;
  item->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(item), &fd, sizeof(fd));
  return raw::Retry(SYS_sendmsg, socket, &header, MSG_NOSIGNAL);
}

}  // namespace

FailureRecord DeliverListener(const PlanView& plan, BorrowedFd listener, pid_t pid,
                              pid_t container) {
  uint32_t index = plan.begin(Phase::kStart);
  while (index < plan.end(Phase::kStart) &&
         static_cast<Opcode>(plan.step(index).opcode) != Opcode::kLoadSeccomp) {
    ++index;
  }
  if (index == plan.end(Phase::kStart)) return MakeFailure(kFailedPlan, EINVAL);
  const PlanStep& step = plan.step(index);
  raw::Fd socket;
  long result = Connect(plan.text(step.ref[1]), &socket);
  if (result >= 0) {
    const PlanHeader& header = plan.header();
    const Decimal own(static_cast<unsigned>(pid));
    const Decimal first(static_cast<unsigned>(container));
    const char* status = pid == container ? "created" : "running";
    iovec pieces[] = {
        Piece(plan.text(step.ref[2]), step.ref[2].size),
        Piece(own.text(), own.size()),
        Piece(",\"state\":", 9),
        Piece(plan.text(header.state_prefix), header.state_prefix.size),
        Piece(status, strlen(status)),
        Piece(plan.text(header.state_middle), header.state_middle.size),
        Piece(first.text(), first.size()),
        Piece(plan.text(header.state_suffix), header.state_suffix.size),
        Piece("}", 1),
    };
    result = Send(socket.get(), pieces, sizeof(pieces) / sizeof(pieces[0]), listener.get());
  }
  if (result >= 0) return {};
  return MakeFailure(index, static_cast<int>(-result), FailureDetail::kListener);
}

}  // namespace ocid
