// Lifecycle: which states a container goes through, and what may happen in which.
//
//              kCreate             kCreated           kStart              kStarted
//   (nothing) ---------> CREATING ---------> CREATED ---------> STARTING ---------> RUNNING <--.
//       ^                   | kCreateFailed     |                  | kStartFailed    |  | kPause
//       |                   v                   |                  |                 |  v     | kResume
//       |               (nothing)               |                  |                 | PAUSED -'
//       |                                       |     kExit        v                 |  |
//       |  kDeleted             kDelete         '-------------> STOPPED <--- kExit --+--'
//       '---------- DELETING <--------- CREATED, STOPPED           ^  '-- kStart --> STARTING
//                      ^ kForceDelete                              | kExit
//                      '------- any but CREATING, STARTING         '--- STOPPING <-- kStop
//
// kStop leads from CREATED, RUNNING and PAUSED to STOPPING, and back to RUNNING by kGiveUp when what
// was killed would not die; DELETING likewise. One pure table; its test walks every pair. Thread-safe.
#ifndef OCID_DAEMON_CONTAINER_LIFECYCLE_H_
#define OCID_DAEMON_CONTAINER_LIFECYCLE_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "proto/ocid/v1/container.pb.h"

namespace ocid {

enum class LifecycleEvent {
  // What callers ask for, and how it turns out.
  kCreate,
  kCreated,
  kCreateFailed,
  kStart,
  kStarted,
  kStartFailed,
  kPause,
  kResume,
  kStop,
  kGiveUp,  // what was killed is still there
  kDelete,
  kForceDelete,
  kDeleted,
  kDeleteFailed,  // it is dead, and something of it could not be removed
  // What happens by itself.
  kExit,
  // What changes no state, but is not legal in every one.
  kKill,
  kUpdate,
  kExec,
  kObserve,  // processes, usage, drift
};
inline constexpr int kLifecycleEvents = static_cast<int>(LifecycleEvent::kObserve) + 1;

// "start", "force delete": for error messages.
std::string_view LifecycleEventName(LifecycleEvent event);

// "RUNNING"; "none" for CONTAINER_STATE_UNSPECIFIED, which stands for a container that is not there.
std::string_view ContainerStateName(v1::ContainerState state);

// The state that `event` leads to. FAILED_PRECONDITION, INVALID_STATE, naming both, where it is not
// legal.
absl::StatusOr<v1::ContainerState> NextState(v1::ContainerState state, LifecycleEvent event);

// Whether a process of the container may exist: CREATED to STOPPING.
bool IsAlive(v1::ContainerState state);

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_LIFECYCLE_H_
