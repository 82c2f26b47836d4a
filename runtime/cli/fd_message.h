// One datagram with descriptors over a SOCK_SEQPACKET socket.
//
// Used by the launch helper, which has neither exceptions nor libc: inline, fixed sizes. Blocks as
// the socket does. Source: unix(7), cmsg(3).
#ifndef OCID_RUNTIME_CLI_FD_MESSAGE_H_
#define OCID_RUNTIME_CLI_FD_MESSAGE_H_

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <cstddef>

namespace ocid {

inline constexpr size_t kMaxMessageFds = 64;

// 0 or an errno.
inline int SendWithFds(int socket, const void* bytes, size_t size, const int* fds, size_t count) {
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxMessageFds * sizeof(int))] = {};
  iovec vector = {const_cast<void*>(bytes), size};
  msghdr header = {};
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  if (count > 0) {
    if (count > kMaxMessageFds) return EINVAL;
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* const item = CMSG_FIRSTHDR(&header);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(item), fds, count * sizeof(int));
  }
  ssize_t sent = -1;
  do {
    sent = sendmsg(socket, &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? errno : 0;
}

// Exactly `size` bytes; `fds` has room for kMaxMessageFds and gets `*count`, all close-on-exec. 0
// or an errno; ECONNRESET at the end of the stream.
inline int ReceiveWithFds(int socket, void* bytes, size_t size, int* fds, size_t* count) {
  *count = 0;
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxMessageFds * sizeof(int))] = {};
  iovec vector = {bytes, size};
  msghdr header = {};
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  ssize_t received = -1;
  do {
    received = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return errno;
  if (received == 0) return ECONNRESET;
  const cmsghdr* const item = CMSG_FIRSTHDR(&header);
  if (item != nullptr && item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS) {
    *count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(item), *count * sizeof(int));
  }
  return static_cast<size_t>(received) == size ? 0 : EPROTO;
}

}  // namespace ocid

#endif  // OCID_RUNTIME_CLI_FD_MESSAGE_H_
