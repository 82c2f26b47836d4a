// What the services work with, and what all of them need: who calls, and how a unary call ends.
//
// An ApiContext and all that it names outlive every call. Thread-safe.
#ifndef OCID_DAEMON_API_API_CONTEXT_H_
#define OCID_DAEMON_API_API_CONTEXT_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/api/drain_signal.h"
#include "daemon/api/peer_table.h"
#include "daemon/api/request_validation.h"
#include "daemon/base/cancellation.h"
#include "daemon/base/fd_poller.h"
#include "daemon/base/thread_pool.h"
#include "daemon/base/timers.h"
#include "daemon/container/container_manager.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"

namespace ocid {

inline constexpr int kMaxMessageBytes = 16 << 20;

struct ApiContext {
  ContainerManager& containers;
  PeerTable& peers;
  DrainSignal& drain;
  Timers& timers;
  FdPoller& poller;
  ThreadPool& readers;  // of files: logs, old events
};

// Who makes this call.
Caller CallerOf(const ApiContext& api, const grpc::CallbackServerContext& context);

// The status as the client gets it. A defect or a loss on our side (INTERNAL, UNKNOWN, DATA_LOSS)
// is logged too: the client's word alone would not reach the operator.
grpc::Status FinalStatus(const grpc::CallbackServerContext& context, const absl::Status& status);

// CANCELLED as a waiting call answers it: because the daemon ends, or because its client has gone.
absl::Status WhyCancelled(const ApiContext& api, const absl::Status& status);

// A unary call that ends by itself: its client's cancel stops the waiting and not the work.
template <class Response>
class UnaryCall {
 public:
  UnaryCall(grpc::CallbackServerContext* context, Response* response)
      : context_(context), reactor_(context->DefaultReactor()), response_(response) {}

  grpc::ServerUnaryReactor* reactor() const { return reactor_; }

  // True where the request's form is wrong: the call has been answered.
  bool Refused(const RequestCheck& check) {
    const absl::Status status = check.Finish();
    if (status.ok()) return false;
    Finish(status);
    return true;
  }

  void Finish(absl::StatusOr<Response> result) {
    if (result.ok()) *response_ = *std::move(result);
    reactor_->Finish(FinalStatus(*context_, result.status()));
  }

  Done<Response> Reply() {
    return
        [call = *this](absl::StatusOr<Response> result) mutable { call.Finish(std::move(result)); };
  }

 private:
  grpc::CallbackServerContext* context_;
  grpc::ServerUnaryReactor* reactor_;
  Response* response_;
};

// A unary call that waits for something that may never come. Its client's cancel or deadline and
// the daemon's end cancel the waiting.
template <class Response>
class WaitingCall final : public grpc::ServerUnaryReactor {
 public:
  using Operation = std::function<void(std::shared_ptr<Cancellation>, Done<Response>)>;

  // Starts `operation`; gRPC owns what is returned.
  static grpc::ServerUnaryReactor* Start(const ApiContext& api,
                                         grpc::CallbackServerContext* context, Response* response,
                                         const RequestCheck& check, const Operation& operation) {
    auto* const call = new WaitingCall(api, context, response);
    const absl::Status status = check.Finish();
    if (!status.ok()) {
      call->End(status);
    } else {
      operation(call->cancellation_,
                [call](absl::StatusOr<Response> result) { call->End(std::move(result)); });
    }
    return call;
  }

 private:
  WaitingCall(const ApiContext& api, grpc::CallbackServerContext* context, Response* response)
      : api_(api),
        context_(context),
        response_(response),
        drain_id_(api.drain.Register(cancellation_)) {}

  void End(absl::StatusOr<Response> result) {
    api_.drain.Unregister(drain_id_);
    if (result.ok()) *response_ = *std::move(result);
    Finish(FinalStatus(*context_, WhyCancelled(api_, result.status())));
  }

  void OnCancel() override { cancellation_->Cancel(); }
  void OnDone() override { delete this; }

  const ApiContext& api_;
  grpc::CallbackServerContext* const context_;
  Response* const response_;
  const std::shared_ptr<Cancellation> cancellation_ = std::make_shared<Cancellation>();
  const DrainSignal::Id drain_id_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_API_API_CONTEXT_H_
