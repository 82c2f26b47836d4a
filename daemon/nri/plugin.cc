#include "daemon/nri/plugin.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"

namespace ocid {

void Plugin::Subscribe(int mask) {
  const int known = mask & kAllNriEvents;
  if (known != mask) {
    // A newer plugin than this daemon: it gets what there is.
    Log(LogLevel::kWarning, "nri: unknown events in a subscription",
        {{"plugin", qualified_name_}, {"mask", mask}});
  }
  subscriptions_ = mask == 0 ? kAllNriEvents : known;
}

RpcResult Plugin::Call(std::string_view method, std::string_view request, absl::Duration timeout,
                       Unknown unknown) {
  const absl::Time begin = absl::Now();
  RpcResult result = channel_->Call(method, request, timeout);
  const absl::Duration duration = absl::Now() - begin;
  const bool probe = unknown == Unknown::kIsNoFailure &&
                     result.kind == RpcResult::Kind::kError && result.code == kTtrpcUnimplemented;
  if (!probe) stats_.Add(method, result, duration);
  if (LogEnabled(LogLevel::kDebug)) {
    Log(LogLevel::kDebug, "nri: call",
        {{"plugin", qualified_name_},
         {"method", method},
         {"us", absl::ToInt64Microseconds(duration)},
         {"error", result.message}});
  }
  if (result.kind == RpcResult::Kind::kTimeout) {
    channel_->Close(absl::StrCat(absl::string_view(method.data(), method.size()), ": ",
                                 result.message));
  }
  return result;
}

RpcResult Plugin::Notify(const EventRequest& request) {
  const nri::Event event = request.event();
  if (!HasLegacyForm(event)) return Call(event, request.bytes());
  if (!legacy_) {
    RpcResult result = Call(EventMethod(event), request.bytes(), info_.policy.timeout,
                            Unknown::kIsNoFailure);
    if (result.kind != RpcResult::Kind::kError || result.code != kTtrpcUnimplemented) return result;
    if (!legacy_.exchange(true)) {
      Log(LogLevel::kInfo, "nri: a plugin built before NRI 0.12: events go to it as StateChange",
          {{"plugin", qualified_name_}});
    }
  }
  return Call("StateChange", request.StateChange(), info_.policy.timeout);
}

void Plugin::SetGone(absl::Time time, std::string reason) {
  MutexLock lock(mutex_);
  disconnect_time_ = time;
  disconnect_reason_ = std::move(reason);
  gone_ = true;
}

absl::Time Plugin::disconnect_time() const {
  MutexLock lock(mutex_);
  return disconnect_time_;
}

std::string Plugin::disconnect_reason() const {
  MutexLock lock(mutex_);
  return disconnect_reason_;
}

}  // namespace ocid
