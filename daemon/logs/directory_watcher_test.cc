#include "daemon/logs/directory_watcher.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <semaphore>
#include <string>

namespace ocid {
namespace {

using namespace std::chrono_literals;

// Shared with the functions, one of which may run for a moment longer than the test.
using Calls = std::counting_semaphore<100>;
std::shared_ptr<Calls> NoCalls() { return std::make_shared<Calls>(0); }

class DirectoryWatcherTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/ocid-watch-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    poller_ = *FdPoller::Open();
    watcher_ = *DirectoryWatcher::Open(*poller_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string directory_;
  std::unique_ptr<FdPoller> poller_;
  std::unique_ptr<DirectoryWatcher> watcher_;
};

TEST_F(DirectoryWatcherTest, TellsOfWritesRenamesAndTheEnd) {
  std::ofstream file(directory_ + "/log");
  const auto called = NoCalls();
  ASSERT_TRUE(watcher_->Watch(directory_, [called] { called->release(); }).ok());
  file << "x" << std::flush;
  EXPECT_TRUE(called->try_acquire_for(5s)) << "write";
  std::filesystem::rename(directory_ + "/log", directory_ + "/log.1");
  EXPECT_TRUE(called->try_acquire_for(5s)) << "rename";
  std::filesystem::remove_all(directory_);
  EXPECT_TRUE(called->try_acquire_for(5s)) << "removal";
}

TEST_F(DirectoryWatcherTest, WatchersOfOneDirectoryAreIndependent) {
  const auto first = NoCalls();
  const auto second = NoCalls();
  const auto id = watcher_->Watch(directory_, [first] { first->release(); });
  ASSERT_TRUE(id.ok());
  ASSERT_TRUE(watcher_->Watch(directory_, [second] { second->release(); }).ok());
  watcher_->Unwatch(*id);
  std::ofstream(directory_ + "/log") << "x";
  EXPECT_TRUE(second->try_acquire_for(5s));
  EXPECT_FALSE(first->try_acquire_for(0s));
}

TEST_F(DirectoryWatcherTest, AMissingDirectoryIsAnError) {
  EXPECT_FALSE(watcher_->Watch(directory_ + "/none", [] {}).ok());
}

}  // namespace
}  // namespace ocid
