#include "daemon/container/restart_policy.h"

#include <algorithm>

namespace ocid {

std::optional<RestartDecision> DecideRestart(const v1::RestartPolicy& policy,
                                             const StoppedRun& run) {
  const uint32_t before = run.run_time >= kStableRun ? 0 : run.restarts_in_a_row;
  switch (policy.mode()) {
    case v1::RestartPolicy::ON_FAILURE:
      if (run.exit_code == 0) return std::nullopt;
      if (policy.max_retries() != 0 && before >= policy.max_retries()) return std::nullopt;
      break;
    case v1::RestartPolicy::ALWAYS:
    case v1::RestartPolicy::UNLESS_STOPPED:
      break;
    default:
      return std::nullopt;
  }
  if (run.by_request) return std::nullopt;
  constexpr uint32_t kMaxDoublings = 20;
  const absl::Duration delay = kFirstRestartDelay * (1 << std::min(before, kMaxDoublings));
  return RestartDecision{std::min(delay, kMaxRestartDelay), before + 1};
}

}  // namespace ocid
