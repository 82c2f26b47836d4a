// What the services work with, and what all of them need: who calls, and how a unary call ends.
//
// An ApiContext and all that it names outlive every call. Thread-safe.
#ifndef OCID_DAEMON_API_API_CONTEXT_H_
#define OCID_DAEMON_API_API_CONTEXT_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/api/call_gate.h"
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
  CallGate& gate;
  // After this long a call that an operation of a container answers is told that it takes too long. The
  // operation goes on.
  absl::Duration call_timeout = absl::Hours(1);
};

// Who makes this call: whom CallGate has admitted.
Caller CallerOf(const ApiContext& api, const grpc::CallbackServerContext& context);

// The status as the client gets it. A defect or a loss on our side (INTERNAL, UNKNOWN, DATA_LOSS)
// is logged too: the client's word alone would not reach the operator.
grpc::Status FinalStatus(const grpc::CallbackServerContext& context, const absl::Status& status);

// CANCELLED as a waiting call answers it: because its caller lost the right to it, because the daemon ends,
// or because its client has gone. `scope` may be null.
absl::Status WhyCancelled(const ApiContext& api, const CallScope* scope, const absl::Status& status);

// DEADLINE_EXCEEDED, TIMED_OUT: ApiContext::call_timeout.
absl::Status CallTimedOut();

// The ScopedLogContext of a block whose variables are copied out of it: copies have none.
class HandlerLogScope {
 public:
  explicit HandlerLogScope(std::shared_ptr<const LogContext> context) {
    scope_.emplace(std::move(context));
  }
  HandlerLogScope(const HandlerLogScope&) {}
  HandlerLogScope& operator=(const HandlerLogScope&) = delete;

 private:
  std::optional<ScopedLogContext> scope_;
};

// A unary call that ends by itself: its client's cancel stops the waiting and not the work. A local
// variable of the handler, which may copy it into what answers later. It passes the gate when it is made:
// a handler does nothing before Refused has said no.
template <class Response>
class UnaryCall {
 public:
  UnaryCall(const ApiContext& api, grpc::CallbackServerContext* context,
            const google::protobuf::Message& request, Response* response)
      : api_(&api),
        context_(context),
        reactor_(context->DefaultReactor()),
        response_(response),
        scope_(api.gate.Admit(*context, request)),
        log_scope_(scope_->log_context()) {
    if (!scope_->verdict().ok()) Finish(scope_->verdict());
  }

  grpc::ServerUnaryReactor* reactor() const { return reactor_; }

  // True where the caller may not do this or the request's form is wrong: the call has been answered.
  [[nodiscard]] bool Refused(const RequestCheck& check = {}) {
    if (!scope_->verdict().ok()) return true;
    const absl::Status status = check.Finish();
    if (status.ok()) return false;
    Finish(status);
    return true;
  }

  // The first one counts.
  void Finish(absl::StatusOr<Response> result) {
    if (!scope_->End(result.status())) return;
    if (result.ok()) *response_ = *std::move(result);
    reactor_->Finish(FinalStatus(*context_, result.status()));
  }

  // For an operation that has its own copy of the request: the call may end before it, by its timeout.
  Done<Response> Reply() {
    const TimerId timer = api_->timers.After(
        api_->call_timeout, [call = *this]() mutable { call.Finish(CallTimedOut()); });
    return [call = *this, timer](absl::StatusOr<Response> result) mutable {
      call.api_->timers.Cancel(timer);
      call.Finish(std::move(result));
    };
  }

 private:
  const ApiContext* api_;
  grpc::CallbackServerContext* context_;
  grpc::ServerUnaryReactor* reactor_;
  Response* response_;
  std::shared_ptr<CallScope> scope_;
  HandlerLogScope log_scope_;
};

// A unary call that waits for something that may never come. Its client's cancel or deadline and
// the daemon's end cancel the waiting.
template <class Response>
class WaitingCall final : public grpc::ServerUnaryReactor {
 public:
  using Operation = std::function<void(std::shared_ptr<Cancellation>, Done<Response>)>;

  // Starts `operation`; gRPC owns what is returned.
  static grpc::ServerUnaryReactor* Start(const ApiContext& api,
                                         grpc::CallbackServerContext* context,
                                         const google::protobuf::Message& request,
                                         Response* response, const RequestCheck& check,
                                         const Operation& operation) {
    auto* const call = new WaitingCall(api, context, request, response);
    const ScopedLogContext log_scope(call->scope_->log_context());
    absl::Status status = call->scope_->verdict();
    if (status.ok()) status = check.Finish();
    if (!status.ok()) {
      call->End(status);
    } else {
      operation(call->cancellation_,
                [call](absl::StatusOr<Response> result) { call->End(std::move(result)); });
    }
    return call;
  }

 private:
  WaitingCall(const ApiContext& api, grpc::CallbackServerContext* context,
              const google::protobuf::Message& request, Response* response)
      : api_(api),
        context_(context),
        response_(response),
        scope_(api.gate.Admit(*context, request, cancellation_)),
        drain_id_(api.drain.Register(cancellation_)) {}

  void End(absl::StatusOr<Response> result) {
    api_.drain.Unregister(drain_id_);
    if (result.ok()) *response_ = *std::move(result);
    const absl::Status status = WhyCancelled(api_, scope_.get(), result.status());
    scope_->End(status);
    Finish(FinalStatus(*context_, status));
  }

  void OnCancel() override { cancellation_->Cancel(); }
  void OnDone() override { delete this; }

  const ApiContext& api_;
  grpc::CallbackServerContext* const context_;
  Response* const response_;
  const std::shared_ptr<Cancellation> cancellation_ = std::make_shared<Cancellation>();
  const std::shared_ptr<CallScope> scope_;
  const DrainSignal::Id drain_id_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_API_API_CONTEXT_H_
