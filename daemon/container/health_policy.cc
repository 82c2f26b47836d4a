#include "daemon/container/health_policy.h"

#include <algorithm>

#include "daemon/container/proto_time.h"

namespace ocid {
namespace {

constexpr absl::Duration kDefaultInterval = absl::Seconds(30);
constexpr absl::Duration kDefaultTimeout = absl::Seconds(30);
constexpr uint32_t kDefaultRetries = 3;
constexpr absl::Duration kFirstProbe = absl::Seconds(1);

absl::Duration Or(const google::protobuf::Duration& duration, absl::Duration fallback) {
  const absl::Duration value = FromDuration(duration);
  return value > absl::ZeroDuration() ? value : fallback;
}

}  // namespace

HealthRules RulesOf(const v1::HealthCheck& check) {
  return HealthRules{
      .interval = Or(check.interval(), kDefaultInterval),
      .timeout = Or(check.timeout(), kDefaultTimeout),
      .start_period = Or(check.start_period(), absl::ZeroDuration()),
      .retries = check.retries() != 0 ? check.retries() : kDefaultRetries,
  };
}

absl::Duration FirstProbeDelay(const HealthRules& rules) {
  return std::min(rules.interval, kFirstProbe);
}

HealthState NextHealth(const HealthState& before, const HealthRules& rules, bool succeeded,
                       absl::Duration running_for) {
  if (succeeded) return {.status = v1::HEALTH_STATUS_HEALTHY, .failures = 0};
  const bool excused =
      before.status == v1::HEALTH_STATUS_STARTING && running_for < rules.start_period;
  if (excused) return before;
  HealthState after = {.status = before.status, .failures = before.failures + 1};
  if (after.failures >= rules.retries) after.status = v1::HEALTH_STATUS_UNHEALTHY;
  return after;
}

}  // namespace ocid
