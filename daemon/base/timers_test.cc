#include "daemon/base/timers.h"

#include <atomic>
#include <future>
#include <vector>

#include "daemon/base/manual_timers.h"
#include "gtest/gtest.h"

namespace ocid {
namespace {

TEST(Timers, RunInTheOrderInWhichTheyFallDue) {
  std::vector<int> order;
  std::promise<void> last;
  std::unique_ptr<Timers> timers = MakeTimers();
  timers->After(absl::Milliseconds(20), [&] {
    order.push_back(3);
    last.set_value();
  });
  timers->After(absl::Milliseconds(10), [&] { order.push_back(2); });
  timers->After(absl::ZeroDuration(), [&] { order.push_back(1); });
  last.get_future().wait();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST(Timers, ThatWereCancelledDoNotRun) {
  std::promise<void> later;
  std::atomic<bool> ran{false};
  std::unique_ptr<Timers> timers = MakeTimers();
  const TimerId id = timers->After(absl::Milliseconds(5), [&] { ran = true; });
  EXPECT_TRUE(timers->Cancel(id));
  EXPECT_FALSE(timers->Cancel(id));
  timers->After(absl::Milliseconds(15), [&] { later.set_value(); });
  later.get_future().wait();
  EXPECT_FALSE(ran);
}

TEST(Timers, ForgetWhatIsPendingWhenTheyAreDestroyed) {
  std::atomic<bool> ran{false};
  std::unique_ptr<Timers> timers = MakeTimers();
  timers->After(absl::Hours(1), [&] { ran = true; });
  timers.reset();
  EXPECT_FALSE(ran);
}

TEST(Timers, MayScheduleFromATimer) {
  std::promise<void> done;
  std::unique_ptr<Timers> timers = MakeTimers();
  timers->After(absl::ZeroDuration(),
                [&] { timers->After(absl::ZeroDuration(), [&] { done.set_value(); }); });
  done.get_future().wait();
}

TEST(ManualTimers, RunWhatFallsDueByAdvance) {
  ManualTimers timers;
  const absl::Time start = timers.Now();
  std::vector<absl::Duration> at;
  timers.After(absl::Seconds(2), [&] { at.push_back(timers.Now() - start); });
  timers.After(absl::Seconds(1), [&] { at.push_back(timers.Now() - start); });
  timers.After(absl::Seconds(9), [&] { at.push_back(timers.Now() - start); });
  timers.Advance(absl::Seconds(3));
  EXPECT_EQ(at, (std::vector<absl::Duration>{absl::Seconds(1), absl::Seconds(2)}));
  EXPECT_EQ(timers.Now() - start, absl::Seconds(3));
}

}  // namespace
}  // namespace ocid
