#include "daemon/base/thread_pool.h"

#include <atomic>
#include <future>
#include <memory>

#include "gtest/gtest.h"

namespace ocid {
namespace {

TEST(ThreadPool, RunsWhatIsPosted) {
  std::promise<int> promise;
  ThreadPool pool("test", 4);
  pool.Post([&] { promise.set_value(42); });
  EXPECT_EQ(promise.get_future().get(), 42);
}

TEST(ThreadPool, BlockedWorkDoesNotHoldUpOthersBelowTheLimit) {
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::promise<void> second;
  ThreadPool pool("test", 2);
  pool.Post([released] { released.wait(); });
  pool.Post([&] { second.set_value(); });
  second.get_future().wait();  // hangs if both share one thread
  release.set_value();
}

TEST(ThreadPool, KeepsToItsLimit) {
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  {
    ThreadPool pool("test", 3);
    for (int i = 0; i < 200; ++i) {
      pool.Post([&] {
        const int now = ++running;
        int seen = most.load();
        while (seen < now && !most.compare_exchange_weak(seen, now)) {
        }
        --running;
      });
    }
    EXPECT_LE(pool.threads(), 3);
  }
  EXPECT_LE(most.load(), 3);
}

TEST(ThreadPool, DestructorRunsWhatWasPostedEvenByWork) {
  std::atomic<int> runs{0};
  {
    ThreadPool pool("test", 2);
    for (int i = 0; i < 50; ++i) {
      pool.Post([&] {
        ++runs;
        pool.Post([&] { ++runs; });
      });
    }
  }
  EXPECT_EQ(runs.load(), 100);
}

TEST(ThreadPool, WorkPostedAfterTheShutdownIsDropped) {
  std::atomic<int> runs{0};
  ThreadPool pool("test", 2);
  pool.Post([&] { ++runs; });
  pool.Shutdown();
  EXPECT_EQ(runs.load(), 1);
  const auto owned = std::make_shared<int>(1);
  pool.Post([&runs, owned] { ++runs; });
  EXPECT_EQ(runs.load(), 1);
  EXPECT_EQ(owned.use_count(), 1) << "and what it owned is gone";
}

}  // namespace
}  // namespace ocid
