// RecoveryDecision: what to do about a container that an earlier daemon left, from what is on disk
// and what can be seen. Pure; its test walks the whole matrix.
//
// Assumptions, each kept by somebody else:
//   - the state file of this boot names an intent before its first effect (Container);
//   - the record becomes durable before Create answers, and goes before anything else of a delete
//     that was answered (Container);
//   - a supervisor that runs knows its init; one that is gone wrote the exit record if it saw the end
//     (runtime/supervisor);
//   - after another boot no process, mount or cgroup of ours exists.
#ifndef OCID_DAEMON_CONTAINER_RECOVERY_DECISION_H_
#define OCID_DAEMON_CONTAINER_RECOVERY_DECISION_H_

#include <string_view>

#include "proto/ocid/v1/container.pb.h"

namespace ocid {

enum class RecordFound { kNone, kGood, kUnreadable };

// What the supervisor says about the init, if one answers.
enum class SupervisorFound { kNone, kInitCreated, kInitRunning, kInitExited };

struct RecoveryObservation {
  RecordFound record = RecordFound::kNone;
  // The state of this boot's state file; CONTAINER_STATE_UNSPECIFIED where there is none.
  v1::ContainerState state = v1::CONTAINER_STATE_UNSPECIFIED;
  SupervisorFound supervisor = SupervisorFound::kNone;
  bool exit_record = false;       // of this generation
  bool cgroup_populated = false;  // processes are left in it
};

enum class RecoveryAction {
  kQuarantine,   // set the record aside; touch nothing that runs
  kRollBack,     // a create nobody was told of: undo it
  kFinishDelete, // a delete that had begun: end it
  kReattach,     // alive: take it over in the state that the supervisor tells
  kMarkStopped,  // ended, and how is known
  kMarkLost,     // ended, and how is not known
  kKillOrphan,   // processes without a supervisor: kill them, then as kMarkLost, or kMarkStopped
                 // where there is an exit record
};

std::string_view RecoveryActionName(RecoveryAction action);

RecoveryAction DecideRecovery(const RecoveryObservation& observation);

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_RECOVERY_DECISION_H_
