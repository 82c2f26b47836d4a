#include "daemon/api/api_context.h"

#include <optional>

#include "daemon/api/status_codec.h"
#include "daemon/base/log.h"

namespace ocid {

Caller CallerOf(const ApiContext& api, const grpc::CallbackServerContext& context) {
  const std::optional<Peer> peer = api.peers.Find(context.peer());
  return Caller{.identity = peer.has_value() ? IdentityOf(*peer) : "local"};
}

grpc::Status FinalStatus(const grpc::CallbackServerContext& context, const absl::Status& status) {
  if (absl::IsInternal(status) || absl::IsUnknown(status) || absl::IsDataLoss(status)) {
    Log(LogLevel::kError, "call failed", {{"peer", context.peer()}, {"error", status}});
  }
  return EncodeStatus(status);
}

absl::Status WhyCancelled(const ApiContext& api, const absl::Status& status) {
  return absl::IsCancelled(status) && api.drain.begun() ? ShuttingDown() : status;
}

}  // namespace ocid
