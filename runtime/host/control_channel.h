// ControlChannel: the daemon's end of a control connection to a supervisor
// (runtime/supervisor/control_protocol.h). Matches replies to requests, passes exits on.
//
// Thread-safe; Call blocks until the reply or its deadline, holding no lock.
#ifndef OCID_RUNTIME_HOST_CONTROL_CHANNEL_H_
#define OCID_RUNTIME_HOST_CONTROL_CHANNEL_H_

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"
#include "runtime/host/reactor.h"
#include "runtime/supervisor/control_protocol.h"

namespace ocid {

struct ControlReply {
  ReplyCode code = ReplyCode::kOk;
  int32_t value = 0;
  std::string body;
  UniqueFd fd;

  // DATA_LOSS if the reply is too short for a T.
  template <typename T>
  absl::Status Parse(T* out) const {
    if (body.size() < sizeof(T)) return absl::DataLossError("supervisor: truncated reply");
    memcpy(out, body.data(), sizeof(T));
    return absl::OkStatus();
  }
};

class ControlChannel : public Reactor::Source {
 public:
  struct Events {
    std::function<void(const ExitedBody&)> on_exited;
    std::function<void(const LogStateBody&)> on_log_state;
    // By the other end; not after Close, nor after it agreed to kShutdown.
    std::function<void()> on_closed;
  };

  // Begins to read from `socket`. `reattached`: exits that come before the first reply are part of
  // the status that it brings, and are not passed on.
  static absl::StatusOr<std::shared_ptr<ControlChannel>> Open(
      const std::shared_ptr<Reactor>& reactor, UniqueFd socket, Events events, bool reattached);

  // UNAVAILABLE if the connection is or gets lost, DEADLINE_EXCEEDED. A reply of whatever code is
  // OK.
  absl::StatusOr<ControlReply> Call(MessageType type, std::string_view body,
                                    const std::vector<BorrowedFd>& fds, absl::Time deadline);

  // Ends the connection. No event follows, but one may be under way.
  void Close();

  BorrowedFd fd() const override { return socket_; }
  void OnReady() override;
  void OnStopped() override;

 private:
  struct Waiter {
    const MessageType type;
    bool done = false;
    ControlReply reply;
    CondVar changed;
  };

  ControlChannel(const std::shared_ptr<Reactor>& reactor, UniqueFd socket, Events events,
                 bool reattached);
  absl::Status Send(const MessageHeader& header, std::string_view body,
                    const std::vector<BorrowedFd>& fds, absl::Time deadline);
  // False if nothing was there to receive.
  bool ReceiveOne();
  void Deliver(const MessageHeader& header, std::string_view message, UniqueFd fd);
  // True the first time.
  bool Disconnect();

  const std::weak_ptr<Reactor> reactor_;
  const UniqueFd socket_;
  const Events events_;
  bool passing_events_;  // these two on the reactor's thread only
  bool close_agreed_ = false;
  Mutex mutex_;
  bool connected_ ABSL_GUARDED_BY(mutex_) = true;
  uint64_t last_request_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, Waiter*> waiters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_RUNTIME_HOST_CONTROL_CHANNEL_H_
