// What a health check says of a container, from one probe to the next. Pure; thread-safe.
#ifndef OCID_DAEMON_CONTAINER_HEALTH_POLICY_H_
#define OCID_DAEMON_CONTAINER_HEALTH_POLICY_H_

#include <cstdint>

#include "absl/time/time.h"
#include "proto/ocid/v1/types.pb.h"

namespace ocid {

// A health check with its defaults filled in.
struct HealthRules {
  absl::Duration interval;
  absl::Duration timeout;
  absl::Duration start_period;
  uint32_t retries = 0;
};

HealthRules RulesOf(const v1::HealthCheck& check);

// From the start of the container to its first probe: who waits for "healthy" need not wait a whole
// interval.
absl::Duration FirstProbeDelay(const HealthRules& rules);

struct HealthState {
  v1::HealthStatus status = v1::HEALTH_STATUS_STARTING;
  uint32_t failures = 0;  // in a row

  friend bool operator==(const HealthState&, const HealthState&) = default;
};

// `running_for`: since the container's start, when the probe began. In the start period a container
// that has not been healthy yet may fail as often as it likes.
HealthState NextHealth(const HealthState& before, const HealthRules& rules, bool succeeded,
                       absl::Duration running_for);

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_HEALTH_POLICY_H_
