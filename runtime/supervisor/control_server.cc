#include "runtime/supervisor/control_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <new>
#include <utility>

namespace ocid {
namespace {

constexpr size_t kMaxPending = 256;

enum class SendResult { kSent, kFull, kBroken };

SendResult SendPacket(BorrowedFd socket, const MessageHeader& header, const void* body, size_t size,
                      BorrowedFd fd) {
  iovec parts[2] = {
      {const_cast<MessageHeader*>(&header), sizeof(header)},
      {const_cast<void*>(body), size},
  };
  msghdr message = {};
  message.msg_iov = parts;
  message.msg_iovlen = size > 0 ? 2 : 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (fd.valid()) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* cmsg = CMSG_FIRSTHDR(&message);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    const int number = fd.get();
    memcpy(CMSG_DATA(cmsg), &number, sizeof(number));
  }
  while (true) {
    if (sendmsg(socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return SendResult::kSent;
    if (errno == EINTR) continue;
    return errno == EAGAIN || errno == ENOBUFS ? SendResult::kFull : SendResult::kBroken;
  }
}

// Takes over every descriptor of the message. False if there were more than fit.
bool TakeFds(msghdr& message, Request* request) {
  for (cmsghdr* cmsg = CMSG_FIRSTHDR(&message); cmsg != nullptr;
       cmsg = CMSG_NXTHDR(&message, cmsg)) {
    if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int number = -1;
      memcpy(&number, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
      UniqueFd fd(number);
      if (request->fd_count < kMaxMessageFds) request->fds[request->fd_count++] = std::move(fd);
    }
  }
  return (message.msg_flags & MSG_CTRUNC) == 0;
}

bool IsOurUser(BorrowedFd socket) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == geteuid();
}

}  // namespace

struct ControlServer::Pending {
  Pending* next = nullptr;
  MessageHeader header;
  UniqueFd fd;
  size_t size = 0;
  char body[kMaxControlMessageBytes - sizeof(MessageHeader)];
};

void ControlServer::Open(EventLoop* loop, UniqueFd connection, UniqueFd listener, Handler handler,
                         void* owner) {
  loop_ = loop;
  handler_ = handler;
  owner_ = owner;
  listener_watcher_.ready = &ControlServer::ListenerReady;
  listener_watcher_.owner = this;
  connection_watcher_.ready = &ControlServer::ConnectionReady;
  connection_watcher_.owner = this;
  listener_ = std::move(listener);
  if (listener_.valid() && loop_->Watch(&listener_watcher_, listener_, EPOLLIN) != 0) {
    listener_.reset();
  }
  if (connection.valid()) Adopt(std::move(connection));
}

void ControlServer::ListenerReady(void* self, uint32_t) {
  static_cast<ControlServer*>(self)->Accept();
}

void ControlServer::ConnectionReady(void* self, uint32_t events) {
  auto* server = static_cast<ControlServer*>(self);
  if ((events & EPOLLOUT) != 0 && !server->FlushPending()) return;
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) server->ReadRequest();
}

void ControlServer::Accept() {
  UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (connection.valid() && IsOurUser(connection)) Adopt(std::move(connection));
}

void ControlServer::Adopt(UniqueFd connection) {
  Disconnect();
  connection_ = std::move(connection);
  ++connection_number_;
  if (loop_->Watch(&connection_watcher_, connection_, EPOLLIN) != 0) Disconnect();
}

void ControlServer::Disconnect() {
  loop_->Stop(&connection_watcher_);
  connection_.reset();
  while (first_pending_ != nullptr) {
    Pending* done = first_pending_;
    first_pending_ = done->next;
    done->~Pending();
    free(done);
  }
  last_pending_ = &first_pending_;
  pending_count_ = 0;
}

void ControlServer::ReadRequest() {
  Request request;
  iovec part = {buffer_, sizeof(buffer_)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxMessageFds)] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t size = recvmsg(connection_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return Disconnect();

  const bool fds_fit = TakeFds(message, &request);
  request.bytes = buffer_;
  request.size = static_cast<size_t>(size);
  const bool whole = (message.msg_flags & MSG_TRUNC) == 0 && fds_fit;
  ReplyTo to = {.connection = connection_number_, .request_id = 0};
  // The id, where there is one, lets the sender find the request that was refused.
  if (request.size >= sizeof(MessageHeader)) {
    MessageHeader header;
    memcpy(&header, buffer_, sizeof(header));
    to.request_id = header.request_id;
  }
  if (!whole || !ParseHeader(buffer_, request.size, &request.header)) {
    return Send(to, {.code = ReplyCode::kInvalid});
  }
  handler_(owner_, request, to);
}

void ControlServer::Send(ReplyTo to, const Reply& reply) {
  if (to.connection != connection_number_ || !connection_.valid()) return;
  MessageHeader header;
  header.size = static_cast<uint32_t>(sizeof(header) + reply.size);
  header.type = static_cast<uint16_t>(MessageType::kReply);
  header.request_id = to.request_id;
  header.code = static_cast<uint32_t>(reply.code);
  header.value = reply.value;
  SendMessage(header, reply.body, reply.size, reply.fd);
}

void ControlServer::SendEvent(MessageType type, const void* body, size_t size) {
  if (!connection_.valid()) return;
  MessageHeader header;
  header.size = static_cast<uint32_t>(sizeof(header) + size);
  header.type = static_cast<uint16_t>(type);
  SendMessage(header, body, size, BorrowedFd());
}

void ControlServer::SendMessage(const MessageHeader& header, const void* body, size_t size,
                                BorrowedFd fd) {
  if (pending_count_ == 0) {
    const SendResult result = SendPacket(connection_, header, body, size, fd);
    if (result == SendResult::kSent) return;
    if (result == SendResult::kBroken) return Disconnect();
  }
  void* memory = pending_count_ < kMaxPending ? malloc(sizeof(Pending)) : nullptr;
  if (memory == nullptr) return Disconnect();
  auto* pending = new (memory) Pending;
  pending->header = header;
  pending->size = size;
  if (size > 0) memcpy(pending->body, body, size);
  if (fd.valid()) pending->fd.reset(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  *last_pending_ = pending;
  last_pending_ = &pending->next;
  ++pending_count_;
  loop_->Watch(&connection_watcher_, connection_, EPOLLOUT);
}

// False if the connection is gone or still full.
bool ControlServer::FlushPending() {
  while (first_pending_ != nullptr) {
    Pending* pending = first_pending_;
    const SendResult result =
        SendPacket(connection_, pending->header, pending->body, pending->size, pending->fd);
    if (result == SendResult::kFull) return false;
    if (result == SendResult::kBroken) {
      Disconnect();
      return false;
    }
    first_pending_ = pending->next;
    if (first_pending_ == nullptr) last_pending_ = &first_pending_;
    --pending_count_;
    pending->~Pending();
    free(pending);
  }
  loop_->Watch(&connection_watcher_, connection_, EPOLLIN);
  return true;
}

}  // namespace ocid
