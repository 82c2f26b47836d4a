#include "runtime/child/setup_protocol.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "runtime/base/raw_syscall.h"

namespace ocid {
namespace {

union ControlBuffer {
  cmsghdr align;
  char bytes[CMSG_SPACE(sizeof(int))];
};

}  // namespace

long SendMessage(int socket, const SetupMessage& message, int fd) {
  SetupMessage copy = message;
  iovec vector = {&copy, sizeof(copy)};
  ControlBuffer control = {};
  msghdr header = {};
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  if (fd >= 0) {
    header.msg_control = control.bytes;
    header.msg_controllen = sizeof(control.bytes);
    cmsghdr* item = CMSG_FIRSTHDR(&header);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(item), &fd, sizeof(fd));
  }
  const long sent = raw::Retry(SYS_sendmsg, socket, &header, MSG_NOSIGNAL);
  return sent < 0 ? sent : 0;
}

long ReceiveMessage(int socket, SetupMessage* message, int* fd, int flags) {
  *fd = -1;
  iovec vector = {message, sizeof(*message)};
  ControlBuffer control = {};
  msghdr header = {};
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes;
  header.msg_controllen = sizeof(control.bytes);
  const long size = raw::Retry(SYS_recvmsg, socket, &header, flags | MSG_CMSG_CLOEXEC);
  if (size <= 0) return size;
  const cmsghdr* item = CMSG_FIRSTHDR(&header);
  if (item != nullptr && item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS &&
      item->cmsg_len == CMSG_LEN(sizeof(int))) {
    memcpy(fd, CMSG_DATA(item), sizeof(*fd));
  }
  if (size == sizeof(*message) && (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0) return 1;
  raw::Close(*fd);
  *fd = -1;
  return -EPROTO;
}

}  // namespace ocid
