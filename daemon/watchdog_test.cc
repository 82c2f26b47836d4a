#include "daemon/watchdog.h"

#include <utility>
#include <vector>

#include "daemon/base/manual_timers.h"
#include "gtest/gtest.h"

namespace ocid {
namespace {

class WatchdogTest : public testing::Test {
 protected:
  Watchdog Make() {
    return Watchdog(
        timers_, absl::Seconds(10), [this](Watchdog::Result result) { probes_.push_back(std::move(result)); },
        [this] { ++fed_; });
  }

  ManualTimers timers_{absl::UnixEpoch()};
  std::vector<Watchdog::Result> probes_;
  int fed_ = 0;
};

TEST_F(WatchdogTest, FeedsOnceForEachProbeThatComesBackWell) {
  const Watchdog watchdog = Make();
  ASSERT_EQ(probes_.size(), 1u);
  EXPECT_EQ(fed_, 0) << "not before it is known";
  probes_[0](true);
  EXPECT_EQ(fed_, 1);
  timers_.Advance(absl::Seconds(10));
  ASSERT_EQ(probes_.size(), 2u);
  probes_[1](true);
  EXPECT_EQ(fed_, 2);
}

TEST_F(WatchdogTest, DoesNotFeedWhileAProbeHangsAndBeginsNoOther) {
  const Watchdog watchdog = Make();
  timers_.Advance(absl::Seconds(100));
  EXPECT_EQ(probes_.size(), 1u);
  EXPECT_EQ(fed_, 0);
  probes_[0](true);
  timers_.Advance(absl::Seconds(10));
  EXPECT_EQ(probes_.size(), 2u) << "it goes on when the probe came back after all";
}

TEST_F(WatchdogTest, AProbeThatSaysNoIsNoFoodAndTheNextMayBe) {
  const Watchdog watchdog = Make();
  probes_[0](false);
  EXPECT_EQ(fed_, 0);
  timers_.Advance(absl::Seconds(10));
  ASSERT_EQ(probes_.size(), 2u);
  probes_[1](true);
  EXPECT_EQ(fed_, 1);
}

TEST_F(WatchdogTest, EndsWithItsOwner) {
  { const Watchdog watchdog = Make(); }
  probes_[0](true);
  timers_.Advance(absl::Seconds(100));
  EXPECT_EQ(probes_.size(), 1u);
}

}  // namespace
}  // namespace ocid
