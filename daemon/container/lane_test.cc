#include "daemon/container/lane.h"

#include <atomic>
#include <future>
#include <vector>

#include "gtest/gtest.h"

namespace ocid {
namespace {

TEST(Lane, RunsOneOperationAtATimeInOrder) {
  std::vector<int> order;  // unguarded: the lane is the guard
  std::atomic<int> running{0};
  std::atomic<int> overlaps{0};
  {
    ThreadPool pool("test", 8);
    auto lane = std::make_shared<Lane>(pool, 1000);
    for (int i = 0; i < 500; ++i) {
      ASSERT_TRUE(lane->Push([&, i](Lane::Turn) {
        if (++running != 1) ++overlaps;
        order.push_back(i);
        --running;
      }));
    }
  }
  EXPECT_EQ(overlaps, 0);
  ASSERT_EQ(order.size(), 500u);
  for (int i = 0; i < 500; ++i) EXPECT_EQ(order[i], i);
}

TEST(Lane, RefusesWhatDoesNotFitAndTakesWhatMust) {
  ThreadPool pool("test", 2);
  auto lane = std::make_shared<Lane>(pool, 2);
  std::promise<Lane::Turn> held;
  ASSERT_TRUE(lane->Push([&](Lane::Turn turn) { held.set_value(std::move(turn)); }));
  Lane::Turn turn = held.get_future().get();
  std::atomic<int> runs{0};
  EXPECT_TRUE(lane->Push([&](Lane::Turn) { ++runs; }));
  EXPECT_TRUE(lane->Push([&](Lane::Turn) { ++runs; }));
  EXPECT_FALSE(lane->Push([&](Lane::Turn) { ++runs; }));
  std::promise<void> last;
  lane->PushAlways([&](Lane::Turn) { last.set_value(); });
  EXPECT_EQ(runs, 0);
  turn.End();
  last.get_future().wait();
  EXPECT_EQ(runs, 2);
}

TEST(Lane, AHeldTurnOccupiesNoThread) {
  ThreadPool pool("test", 1);
  auto a = std::make_shared<Lane>(pool, 1);
  auto b = std::make_shared<Lane>(pool, 1);
  std::promise<Lane::Turn> held;
  a->Push([&](Lane::Turn turn) { held.set_value(std::move(turn)); });
  const Lane::Turn turn = held.get_future().get();
  std::promise<void> other;
  b->Push([&](Lane::Turn) { other.set_value(); });
  other.get_future().wait();  // hangs if a's turn kept the only thread
}

TEST(Lane, EndingATurnEarlyLetsTheNextOneGoOn) {
  ThreadPool pool("test", 2);
  auto lane = std::make_shared<Lane>(pool, 1);
  std::promise<void> second;
  std::promise<void> first;
  lane->Push([&](Lane::Turn turn) {
    turn.End();
    second.get_future().wait();
    first.set_value();
  });
  lane->Push([&](Lane::Turn) { second.set_value(); });
  first.get_future().wait();
}

}  // namespace
}  // namespace ocid
