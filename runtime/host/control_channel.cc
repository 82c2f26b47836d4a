#include "runtime/host/control_channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/host/supervisor_handle.h"

namespace ocid {
namespace {

absl::Status Gone() {
  return MakeError(absl::StatusCode::kUnavailable, kReasonSupervisorGone,
                   "the container's supervisor is gone");
}

absl::Status TimedOut() {
  return absl::DeadlineExceededError("the container's supervisor did not answer in time");
}

// Negative durations are none; poll(2) takes an int.
int MillisecondsUntil(absl::Time deadline) {
  const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
}

}  // namespace

ControlChannel::ControlChannel(const std::shared_ptr<Reactor>& reactor, UniqueFd socket,
                               Events events, bool reattached)
    : reactor_(reactor),
      socket_(std::move(socket)),
      events_(std::move(events)),
      passing_events_(!reattached) {}

absl::StatusOr<std::shared_ptr<ControlChannel>> ControlChannel::Open(
    const std::shared_ptr<Reactor>& reactor, UniqueFd socket, Events events, bool reattached) {
  std::shared_ptr<ControlChannel> channel(
      new ControlChannel(reactor, std::move(socket), std::move(events), reattached));
  const absl::Status added = reactor->Add(channel);
  if (!added.ok()) return added;
  return channel;
}

absl::StatusOr<ControlReply> ControlChannel::Call(MessageType type, std::string_view body,
                                                  const std::vector<BorrowedFd>& fds,
                                                  absl::Time deadline) {
  Waiter waiter{.type = type, .reply = {}, .changed = {}};
  MessageHeader header;
  header.size = static_cast<uint32_t>(sizeof(header) + body.size());
  header.type = static_cast<uint16_t>(type);
  {
    MutexLock lock(mutex_);
    if (!connected_) return Gone();
    header.request_id = ++last_request_;
    waiters_[header.request_id] = &waiter;
  }
  const absl::Status sent = Send(header, body, fds, deadline);
  MutexLock lock(mutex_);
  bool in_time = true;
  while (sent.ok() && !waiter.done && connected_ && in_time) {
    in_time = waiter.changed.WaitUntil(mutex_, deadline);
  }
  waiters_.erase(header.request_id);
  if (waiter.done) return std::move(waiter.reply);
  if (!sent.ok()) return sent;
  return connected_ ? TimedOut() : Gone();
}

absl::Status ControlChannel::Send(const MessageHeader& header, std::string_view body,
                                  const std::vector<BorrowedFd>& fds, absl::Time deadline) {
  if (fds.size() > kMaxMessageFds) {
    return absl::InvalidArgumentError("more cgroup hierarchies than a supervisor takes");
  }
  iovec parts[2] = {
      {const_cast<MessageHeader*>(&header), sizeof(header)},
      {const_cast<char*>(body.data()), body.size()},
  };
  msghdr message = {};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxMessageFds)] = {};
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* cmsg = CMSG_FIRSTHDR(&message);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    for (size_t i = 0; i < fds.size(); ++i) {
      const int number = fds[i].get();
      memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &number, sizeof(int));
    }
  }
  while (sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    if (errno == EINTR) continue;
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return Gone();
    if (errno != EAGAIN) return absl::ErrnoToStatus(errno, "send to the container's supervisor");
    const int wait = MillisecondsUntil(deadline);
    if (wait == 0) return TimedOut();
    pollfd writable = {socket_.get(), POLLOUT, 0};
    poll(&writable, 1, wait);
  }
  return absl::OkStatus();
}

void ControlChannel::OnReady() {
  // Bounded, for the sake of the other supervisors.
  for (int i = 0; i < 16 && ReceiveOne(); ++i) {
  }
}

bool ControlChannel::ReceiveOne() {
  alignas(8) char buffer[kMaxControlMessageBytes];
  iovec part = {buffer, sizeof(buffer)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t size = recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (size < 0 && errno == EINTR) return true;
  if (size < 0 && errno == EAGAIN) return false;

  UniqueFd fd;
  const cmsghdr* cmsg = size > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (cmsg != nullptr && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS &&
      cmsg->cmsg_len == CMSG_LEN(sizeof(int))) {
    int number = -1;
    memcpy(&number, CMSG_DATA(cmsg), sizeof(int));
    fd.reset(number);
  }
  MessageHeader header;
  if (size <= 0 || !ParseHeader(buffer, static_cast<size_t>(size), &header)) {
    // The end; or an answer that makes no sense, after which nothing it says can be trusted.
    if (const std::shared_ptr<Reactor> reactor = reactor_.lock()) reactor->Remove(this);
    if (Disconnect() && !close_agreed_ && events_.on_closed) events_.on_closed();
    return false;
  }
  Deliver(header, std::string_view(buffer, static_cast<size_t>(size)), std::move(fd));
  return true;
}

void ControlChannel::Deliver(const MessageHeader& header, std::string_view message, UniqueFd fd) {
  if (static_cast<MessageType>(header.type) == MessageType::kLogState) {
    LogStateBody body;
    if (passing_events_ && ParseBody(message.data(), message.size(), &body) &&
        events_.on_log_state) {
      events_.on_log_state(body);
    }
    return;
  }
  if (static_cast<MessageType>(header.type) == MessageType::kExited) {
    ExitedBody body;
    if (passing_events_ && ParseBody(message.data(), message.size(), &body) &&
        IsValid(body.target) && events_.on_exited) {
      events_.on_exited(body);
    }
    return;
  }
  if (static_cast<MessageType>(header.type) != MessageType::kReply) return;
  passing_events_ = true;
  MutexLock lock(mutex_);
  const auto waiter = waiters_.find(header.request_id);
  if (waiter == waiters_.end()) return;  // it did not wait so long
  ControlReply& reply = waiter->second->reply;
  reply.code = static_cast<ReplyCode>(header.code);
  reply.value = header.value;
  reply.body = std::string(message.substr(sizeof(header)));
  reply.fd = std::move(fd);
  close_agreed_ |= waiter->second->type == MessageType::kShutdown && reply.code == ReplyCode::kOk;
  waiter->second->done = true;
  waiter->second->changed.SignalAll();
}

bool ControlChannel::Disconnect() {
  MutexLock lock(mutex_);
  if (!connected_) return false;
  connected_ = false;
  for (const auto& [id, waiter] : waiters_) waiter->changed.SignalAll();
  return true;
}

void ControlChannel::Close() {
  if (!Disconnect()) return;
  shutdown(socket_.get(), SHUT_RDWR);
  if (const std::shared_ptr<Reactor> reactor = reactor_.lock()) reactor->Remove(this);
}

void ControlChannel::OnStopped() { Disconnect(); }

}  // namespace ocid
