#include "daemon/container/lifecycle.h"

#include <string>

#include "gtest/gtest.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

// One row for each state, one column for each event, in the order of the enumerations, and a letter
// for the next state: '.' is illegal, '-' is nothing, g CREATING, c CREATED,
// s STARTING, r RUNNING, p PAUSED, t STOPPING, x STOPPED, d DELETING.
//
// Events: create created create-failed start started start-failed pause resume stop give-up delete
// force-delete deleted delete-failed exit kill update exec observe
constexpr const char* kExpected[9] = {
    "g..................",  // nothing
    ".c-................",  // CREATING
    "...s....t.dd..xcc.c",  // CREATED
    "....rx........x....",  // STARTING
    "......p.t..d..xrrrr",  // RUNNING
    ".......rt..d..xpp.p",  // PAUSED
    "........tr.d..xt..t",  // STOPPING
    "...s....x.dd....x..",  // STOPPED
    ".........rdd-xd....",  // DELETING
};

char Letter(v1::ContainerState state) { return "-gcsrptxd"[static_cast<int>(state)]; }

TEST(Lifecycle, AllPairsOfStateAndEvent) {
  for (int state = 0; state <= 8; ++state) {
    for (int event = 0; event < kLifecycleEvents; ++event) {
      const auto from = static_cast<v1::ContainerState>(state);
      const auto happened = static_cast<LifecycleEvent>(event);
      const absl::StatusOr<v1::ContainerState> next = NextState(from, happened);
      EXPECT_EQ(next.ok() ? Letter(*next) : '.', kExpected[state][event])
          << ContainerStateName(from) << " + " << LifecycleEventName(happened);
    }
  }
}

TEST(Lifecycle, AnIllegalMoveNamesStateAndOperation) {
  const absl::Status status =
      NextState(v1::CONTAINER_STATE_RUNNING, LifecycleEvent::kStart).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetReason(status), "INVALID_STATE");
  EXPECT_EQ(GetErrorMetadata(status),
            (ErrorMetadata{{"state", "RUNNING"}, {"operation", "start"}}));
  EXPECT_EQ(status.message(), "start: not possible in state RUNNING");
}

TEST(Lifecycle, EveryStateOnTheWayCanEnd) {
  // CREATING, STARTING, STOPPING and DELETING end by themselves, well and badly.
  using E = LifecycleEvent;
  EXPECT_TRUE(NextState(v1::CONTAINER_STATE_CREATING, E::kCreateFailed).ok());
  EXPECT_TRUE(NextState(v1::CONTAINER_STATE_STARTING, E::kStartFailed).ok());
  EXPECT_TRUE(NextState(v1::CONTAINER_STATE_STOPPING, E::kGiveUp).ok());
  EXPECT_TRUE(NextState(v1::CONTAINER_STATE_DELETING, E::kDeleteFailed).ok());
}

}  // namespace
}  // namespace ocid
