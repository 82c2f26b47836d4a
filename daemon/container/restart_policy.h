// When a container that has stopped is started again. Pure; thread-safe.
#ifndef OCID_DAEMON_CONTAINER_RESTART_POLICY_H_
#define OCID_DAEMON_CONTAINER_RESTART_POLICY_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "proto/ocid/v1/types.pb.h"

namespace ocid {

// The first restart waits this long, each further one in a row twice as long as the one before.
inline constexpr absl::Duration kFirstRestartDelay = absl::Milliseconds(100);
inline constexpr absl::Duration kMaxRestartDelay = absl::Minutes(1);
// A container that ran for so long is no crash loop: the next restart is the first again.
inline constexpr absl::Duration kStableRun = absl::Seconds(10);

struct StoppedRun {
  int exit_code = 0;
  bool by_request = false;          // Stop or Kill ended it, not the program or the kernel
  absl::Duration run_time = absl::ZeroDuration();
  uint32_t restarts_in_a_row = 0;   // before this run
};

struct RestartDecision {
  absl::Duration delay;
  uint32_t restarts_in_a_row = 0;  // with the one that is to come
};

// Nothing where it stays stopped. A container that was stopped by request stays stopped, whatever the
// policy, until somebody starts it, or with ALWAYS until the daemon starts again.
std::optional<RestartDecision> DecideRestart(const v1::RestartPolicy& policy, const StoppedRun& run);

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_RESTART_POLICY_H_
