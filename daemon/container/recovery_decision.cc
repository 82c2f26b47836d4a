#include "daemon/container/recovery_decision.h"

namespace ocid {

std::string_view RecoveryActionName(RecoveryAction action) {
  switch (action) {
    case RecoveryAction::kQuarantine: return "quarantine";
    case RecoveryAction::kRollBack: return "roll back";
    case RecoveryAction::kFinishDelete: return "finish delete";
    case RecoveryAction::kReattach: return "reattach";
    case RecoveryAction::kMarkStopped: return "mark stopped";
    case RecoveryAction::kMarkLost: return "mark lost";
    case RecoveryAction::kKillOrphan: return "kill orphan";
  }
  return "unknown";
}

RecoveryAction DecideRecovery(const RecoveryObservation& seen) {
  if (seen.record == RecordFound::kUnreadable) return RecoveryAction::kQuarantine;
  // The record's removal commits a delete; its writing commits a create, once CREATED is the state.
  if (seen.state == v1::CONTAINER_STATE_DELETING) return RecoveryAction::kFinishDelete;
  if (seen.record == RecordFound::kNone) return RecoveryAction::kRollBack;
  if (seen.state == v1::CONTAINER_STATE_CREATING) return RecoveryAction::kRollBack;

  if (seen.supervisor == SupervisorFound::kInitCreated ||
      seen.supervisor == SupervisorFound::kInitRunning) {
    return RecoveryAction::kReattach;
  }
  if (seen.supervisor == SupervisorFound::kInitExited) return RecoveryAction::kMarkStopped;
  if (seen.cgroup_populated) return RecoveryAction::kKillOrphan;
  // A state file that says STOPPED has the exit status itself.
  if (seen.exit_record || seen.state == v1::CONTAINER_STATE_STOPPED) {
    return RecoveryAction::kMarkStopped;
  }
  return RecoveryAction::kMarkLost;
}

}  // namespace ocid
