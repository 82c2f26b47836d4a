#include "daemon/api/api_context.h"

#include "daemon/api/status_codec.h"
#include "daemon/base/log.h"
#include "runtime/base/error_details.h"

namespace ocid {

Caller CallerOf(const ApiContext& api, const grpc::CallbackServerContext& context) {
  const absl::StatusOr<Identity> identity = api.gate.Identify(context);
  return Caller{.identity = identity.ok() ? identity->name : "unknown"};
}

grpc::Status FinalStatus(const grpc::CallbackServerContext& context, const absl::Status& status) {
  if (absl::IsInternal(status) || absl::IsUnknown(status) || absl::IsDataLoss(status)) {
    Log(LogLevel::kError, "call failed", {{"peer", context.peer()}, {"error", status}});
  }
  return EncodeStatus(status);
}

absl::Status CallTimedOut() {
  return MakeError(absl::StatusCode::kDeadlineExceeded, "TIMED_OUT",
                   "the daemon's call-timeout has passed; the operation goes on");
}

absl::Status WhyCancelled(const ApiContext& api, const CallScope* scope,
                          const absl::Status& status) {
  if (!absl::IsCancelled(status)) return status;
  const absl::Status revocation = scope != nullptr ? scope->revocation() : absl::OkStatus();
  if (!revocation.ok()) return revocation;
  return api.drain.begun() ? ShuttingDown() : status;
}

}  // namespace ocid
