#include "daemon/container/recovery_decision.h"

#include <array>
#include <string>

#include "daemon/container/lifecycle.h"
#include "gtest/gtest.h"

namespace ocid {
namespace {

using A = RecoveryAction;
using S = SupervisorFound;

constexpr std::array<v1::ContainerState, 9> kStates = {
    v1::CONTAINER_STATE_UNSPECIFIED, v1::CONTAINER_STATE_CREATING, v1::CONTAINER_STATE_CREATED,
    v1::CONTAINER_STATE_STARTING,    v1::CONTAINER_STATE_RUNNING,  v1::CONTAINER_STATE_PAUSED,
    v1::CONTAINER_STATE_STOPPING,    v1::CONTAINER_STATE_STOPPED,  v1::CONTAINER_STATE_DELETING};

// Rows: the states above, for a good record. Columns: the supervisor {none, created, running,
// exited}, each as {exit record, cgroup populated} = {no,no} {yes,no} {no,yes} {yes,yes}.
// R roll back, D finish delete, A reattach, S mark stopped, L mark lost, K kill orphan.
constexpr const char* kGoodRecord[9] = {
    // none     created   running   exited
    "LSKK" "AAAA" "AAAA" "SSSS",  // no state: another boot, or its directory was lost
    "RRRR" "RRRR" "RRRR" "RRRR",  // CREATING
    "LSKK" "AAAA" "AAAA" "SSSS",  // CREATED
    "LSKK" "AAAA" "AAAA" "SSSS",  // STARTING
    "LSKK" "AAAA" "AAAA" "SSSS",  // RUNNING
    "LSKK" "AAAA" "AAAA" "SSSS",  // PAUSED
    "LSKK" "AAAA" "AAAA" "SSSS",  // STOPPING
    "SSKK" "AAAA" "AAAA" "SSSS",  // STOPPED
    "DDDD" "DDDD" "DDDD" "DDDD",  // DELETING
};

char Letter(RecoveryAction action) {
  switch (action) {
    case A::kQuarantine: return 'Q';
    case A::kRollBack: return 'R';
    case A::kFinishDelete: return 'D';
    case A::kReattach: return 'A';
    case A::kMarkStopped: return 'S';
    case A::kMarkLost: return 'L';
    case A::kKillOrphan: return 'K';
  }
  return '?';
}

template <typename Function>
void ForEachObservation(RecordFound record, Function function) {
  for (size_t state = 0; state < kStates.size(); ++state) {
    for (int supervisor = 0; supervisor < 4; ++supervisor) {
      for (int facts = 0; facts < 4; ++facts) {
        const RecoveryObservation seen = {.record = record,
                                          .state = kStates[state],
                                          .supervisor = static_cast<S>(supervisor),
                                          .exit_record = (facts & 1) != 0,
                                          .cgroup_populated = (facts & 2) != 0};
        SCOPED_TRACE(std::string(ContainerStateName(seen.state)) + " supervisor " +
                     std::to_string(supervisor) + " facts " + std::to_string(facts));
        function(seen, state, 4 * supervisor + facts);
      }
    }
  }
}

TEST(RecoveryDecision, WithAGoodRecordIsAsTheTableSays) {
  ForEachObservation(RecordFound::kGood,
                     [](const RecoveryObservation& seen, size_t row, int column) {
                       EXPECT_EQ(Letter(DecideRecovery(seen)), kGoodRecord[row][column]);
                     });
}

TEST(RecoveryDecision, AnUnreadableRecordIsSetAsideWhateverElseIsSeen) {
  ForEachObservation(RecordFound::kUnreadable,
                     [](const RecoveryObservation& seen, size_t, int) {
                       EXPECT_EQ(DecideRecovery(seen), A::kQuarantine);
                     });
}

TEST(RecoveryDecision, WithoutARecordEverythingIsRemoved) {
  ForEachObservation(RecordFound::kNone, [](const RecoveryObservation& seen, size_t, int) {
    EXPECT_EQ(DecideRecovery(seen), seen.state == v1::CONTAINER_STATE_DELETING ? A::kFinishDelete
                                                                               : A::kRollBack);
  });
}

}  // namespace
}  // namespace ocid
