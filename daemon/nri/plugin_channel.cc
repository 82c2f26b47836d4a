#include "daemon/nri/plugin_channel.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/log_context.h"
#include "proto/internal/nri/ttrpc.pb.h"

namespace ocid {
namespace {

constexpr char kPluginService[] = "nri.pkg.api.v1alpha1.Plugin";
constexpr char kRuntimeService[] = "nri.pkg.api.v1alpha1.Runtime";
constexpr size_t kReadBytes = 64 << 10;
// A peer that does not read its answers for this long is not there.
constexpr absl::Duration kAnswerTimeout = absl::Seconds(2);

iovec Part(std::string_view bytes) {
  return {.iov_base = const_cast<char*>(bytes.data()),  // NOLINT: sendmsg(2) does not write to it
          .iov_len = bytes.size()};
}

}  // namespace

struct PluginChannel::PendingCall {
  CondVar done;
  bool answered = false;
  RpcResult result;
};

std::shared_ptr<PluginChannel> PluginChannel::Start(UniqueFd socket, Callbacks callbacks) {
  std::shared_ptr<PluginChannel> channel(
      new PluginChannel(std::move(socket), std::move(callbacks)));
  epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data = {}};
  if (epoll_ctl(channel->epoll_.get(), EPOLL_CTL_ADD, channel->socket_.get(), &event) != 0) {
    channel->Close(absl::StrCat("epoll: ", std::strerror(errno)));
  }
  std::thread([channel] {
    pthread_setname_np(pthread_self(), "nri plugin");
    channel->Watch();
  }).detach();
  return channel;
}

PluginChannel::PluginChannel(UniqueFd socket, Callbacks callbacks)
    : socket_(std::move(socket)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      callbacks_(std::move(callbacks)),
      buffer_(kReadBytes) {}

PluginChannel::~PluginChannel() = default;

void PluginChannel::Close(const std::string& reason) {
  MutexLock lock(mutex_);
  if (closed_) return;
  closed_ = true;
  close_reason_ = reason;
  // Wakes the reader, and whoever is writing.
  shutdown(socket_.get(), SHUT_RDWR);
  for (const auto& [stream, call] : pending_) {
    call->answered = true;
    call->result = {.kind = RpcResult::Kind::kLost, .message = reason};
    call->done.Signal();
  }
  pending_.clear();
}

RpcResult PluginChannel::Call(std::string_view method, std::string_view payload,
                              absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  ttrpc::Request request;
  request.set_service(kPluginService);
  request.set_method(std::string(method));
  request.set_payload(payload.data(), payload.size());
  request.set_timeout_nano(absl::ToInt64Nanoseconds(timeout));
  const std::string data = request.SerializeAsString();
  if (data.size() > kMaxTtrpcDataBytes) {
    return {.kind = RpcResult::Kind::kTooLarge,
            .message = absl::StrCat("a message of ", data.size(), " bytes")};
  }
  PendingCall call;
  uint32_t stream = 0;
  bool sent = false;
  {
    MutexLock writing(write_mutex_);
    stream = next_stream_;
    next_stream_ += 2;
    {
      MutexLock lock(mutex_);
      if (closed_) return {.kind = RpcResult::Kind::kLost, .message = close_reason_};
      pending_.emplace(stream, &call);
      WakeOn(0);  // the channel's thread sleeps on when the answer comes: Await reads it
    }
    sent = Send(kMuxPluginStream,
                {.length = static_cast<uint32_t>(data.size()),
                 .stream = stream,
                 .type = TtrpcType::kRequest},
                data, deadline);
  }
  if (sent) Await(call, deadline);
  MutexLock lock(mutex_);
  if (call.answered) return std::move(call.result);
  pending_.erase(stream);
  return {.kind = RpcResult::Kind::kTimeout,
          .message = absl::StrCat("no answer within ", absl::FormatDuration(timeout))};
}

bool PluginChannel::Send(uint32_t mux_stream, const TtrpcHeader& header, std::string_view data,
                         absl::Time deadline) {
  const auto message_header = EncodeTtrpcHeader(header);
  const size_t whole = kTtrpcHeaderBytes + data.size();
  const size_t first = std::min(whole, kFirstFrameBytes);
  const auto first_header = EncodeMuxHeader(mux_stream, first);
  const auto rest_header = EncodeMuxHeader(mux_stream, whole - first);
  const std::string_view first_data = data.substr(0, first - kTtrpcHeaderBytes);
  std::array<iovec, 5> parts = {Part({first_header.data(), first_header.size()}),
                                Part({message_header.data(), message_header.size()}),
                                Part(first_data),
                                Part({rest_header.data(), rest_header.size()}),
                                Part(data.substr(first_data.size()))};
  return SendAll(parts.data(), whole > first ? 5 : 3, deadline);
}

bool PluginChannel::SendAll(iovec* parts, size_t count, absl::Time deadline) {
  while (count > 0) {
    msghdr message = {};
    message.msg_iov = parts;
    message.msg_iovlen = count;
    ssize_t sent = sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) {
      WakeOn(EPOLLIN);  // the peer may have to be read before it reads
      if (WaitFor(POLLOUT, deadline)) continue;
      // What was sent of the message cannot be taken back.
      Close("it does not read what it is sent");
      return false;
    }
    if (sent < 0) {
      Close(absl::StrCat("write: ", std::strerror(errno)));
      return false;
    }
    for (; count > 0 && static_cast<size_t>(sent) >= parts->iov_len; ++parts, --count) {
      sent -= static_cast<ssize_t>(parts->iov_len);
    }
    if (count > 0) {
      parts->iov_base = static_cast<char*>(parts->iov_base) + sent;
      parts->iov_len -= static_cast<size_t>(sent);
    }
  }
  return true;
}

bool PluginChannel::WaitFor(int16_t events, absl::Time deadline) const {
  const absl::Duration left = deadline - absl::Now();
  if (left <= absl::ZeroDuration()) return false;
  pollfd wait = {.fd = socket_.get(), .events = events, .revents = 0};
  // An interruption is no reason to give up: whoever asks looks at the socket again.
  poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1)))));
  return true;
}

void PluginChannel::Watch() {
  const auto ended = [this] {
    MutexLock lock(mutex_);
    return closed_ && !reading_;
  };
  while (!ended()) {
    epoll_event event;
    epoll_wait(epoll_.get(), &event, 1, -1);
    {
      MutexLock lock(mutex_);
      if (reading_ || closed_) continue;  // a call was faster, and ends with EndReading
      reading_ = true;
    }
    Read();
    EndReading();
  }
  std::string reason;
  {
    MutexLock lock(mutex_);
    reason = close_reason_;
  }
  callbacks_.on_closed(reason);
}

void PluginChannel::Await(PendingCall& call, absl::Time deadline) {
  {
    MutexLock lock(mutex_);
    while (reading_ && !call.answered) {
      // Whoever reads takes this answer as well, and when it stops, the channel's thread does.
      const absl::Duration left = deadline - absl::Now();
      if (left <= absl::ZeroDuration()) return;
      call.done.WaitFor(mutex_, left);
    }
    if (call.answered) return;
    reading_ = true;
  }
  const auto answered = [&] {
    MutexLock lock(mutex_);
    return call.answered;
  };
  while (!answered() && WaitFor(POLLIN, deadline)) Read();
  EndReading();
}

void PluginChannel::EndReading() {
  MutexLock lock(mutex_);
  reading_ = false;
  WakeOn(EPOLLIN);  // at once where something is there, and where the connection has ended
}

void PluginChannel::WakeOn(uint32_t events) {
  epoll_event event = {.events = events | EPOLLONESHOT, .data = {}};
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, socket_.get(), &event);
}

void PluginChannel::Read() {
  const ssize_t got = recv(socket_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    return Close(got == 0 ? "the plugin closed the connection"
                          : absl::StrCat("read: ", std::strerror(errno)));
  }
  const auto on_response = [this](const TtrpcHeader& header, std::string_view data) {
    return TakeResponse(header, data);
  };
  const auto on_request = [this](const TtrpcHeader& header, std::string_view data) {
    return TakeRequest(header, data);
  };
  const absl::Status taken =
      mux_.Feed({buffer_.data(), static_cast<size_t>(got)},
                [&](uint32_t stream, std::string_view bytes) {
                  return stream == kMuxPluginStream ? responses_.Feed(bytes, on_response)
                                                    : requests_.Feed(bytes, on_request);
                });
  if (!taken.ok()) Close(absl::StrCat("protocol error: ", taken.message()));
}

absl::Status PluginChannel::TakeResponse(const TtrpcHeader& header, std::string_view data) {
  if (header.type != TtrpcType::kResponse) {
    return absl::InvalidArgumentError("not a response on the plugin's stream");
  }
  ttrpc::Response response;
  if (!response.ParseFromArray(data.data(), static_cast<int>(data.size()))) {
    return absl::InvalidArgumentError("a response that cannot be decoded");
  }
  MutexLock lock(mutex_);
  const auto found = pending_.find(header.stream);
  if (found == pending_.end()) return absl::OkStatus();  // it gave up waiting
  RpcResult& result = found->second->result;
  result.code = response.status().code();
  result.kind = result.code == 0 ? RpcResult::Kind::kAnswered : RpcResult::Kind::kError;
  result.message = response.status().message();
  result.payload = std::move(*response.mutable_payload());
  found->second->answered = true;
  found->second->done.Signal();
  pending_.erase(found);
  return absl::OkStatus();
}

absl::Status PluginChannel::TakeRequest(const TtrpcHeader& header, std::string_view data) {
  if (header.type != TtrpcType::kRequest) {
    return absl::InvalidArgumentError("not a request on the daemon's stream");
  }
  const auto refuse = [&](int code, std::string message) {
    Answer(header.stream,
           {.kind = RpcResult::Kind::kError, .code = code, .message = std::move(message)});
    return absl::OkStatus();
  };
  if (header.stream % 2 == 0) return refuse(kTtrpcInvalidArgument, "StreamID must be odd");
  if (header.stream <= last_request_stream_) {
    return refuse(kTtrpcInvalidArgument, "StreamID cannot be re-used and must increment");
  }
  last_request_stream_ = header.stream;
  ttrpc::Request request;
  if (!request.ParseFromArray(data.data(), static_cast<int>(data.size()))) {
    return absl::InvalidArgumentError("a request that cannot be decoded");
  }
  if (request.service() != kRuntimeService) {
    return refuse(kTtrpcUnimplemented, absl::StrCat("service ", request.service()));
  }
  const ScopedLogContext nobody(nullptr);  // what the plugin wants is no part of the call that reads it
  callbacks_.on_request(request.method(), std::move(*request.mutable_payload()),
                        [weak = weak_from_this(), stream = header.stream](const RpcResult& result) {
                          if (const auto self = weak.lock()) self->Answer(stream, result);
                        });
  return absl::OkStatus();
}

void PluginChannel::Answer(uint32_t stream, const RpcResult& result) {
  ttrpc::Response response;
  if (result.ok()) {
    response.set_payload(result.payload);
  } else {
    response.mutable_status()->set_code(result.code == 0 ? kTtrpcUnknown : result.code);
    response.mutable_status()->set_message(result.message);
  }
  const std::string data = response.SerializeAsString();
  MutexLock writing(write_mutex_);
  Send(kMuxRuntimeStream,
       {.length = static_cast<uint32_t>(data.size()), .stream = stream, .type = TtrpcType::kResponse},
       data, absl::Now() + kAnswerTimeout);
}

}  // namespace ocid
