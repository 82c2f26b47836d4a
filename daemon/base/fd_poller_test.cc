#include "daemon/base/fd_poller.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <future>

namespace ocid {
namespace {

using namespace std::chrono_literals;

class FdPollerTest : public testing::Test {
 protected:
  void SetUp() override {
    int fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    ours_.reset(fds[0]);
    theirs_.reset(fds[1]);
    poller_ = *FdPoller::Open();
  }

  UniqueFd ours_;
  UniqueFd theirs_;
  std::unique_ptr<FdPoller> poller_;
};

TEST_F(FdPollerTest, CallsWhenThereIsSomethingToRead) {
  std::promise<std::pair<bool, bool>> called;
  const auto id = poller_->Add(ours_, [&](bool r, bool w) { called.set_value({r, w}); });
  poller_->Arm(id, /*readable=*/true, /*writable=*/false);
  auto future = called.get_future();
  EXPECT_EQ(future.wait_for(20ms), std::future_status::timeout);
  ASSERT_EQ(write(theirs_.get(), "x", 1), 1);
  EXPECT_EQ(future.get(), std::pair(true, false));
}

TEST_F(FdPollerTest, CallsOnceForEachArm) {
  std::atomic<int> calls = 0;
  std::promise<void> second;
  FdPoller::Id id = 0;
  id = poller_->Add(ours_, [&](bool, bool) {
    if (++calls == 2) second.set_value();
  });
  ASSERT_EQ(write(theirs_.get(), "x", 1), 1);
  EXPECT_EQ(calls, 0) << "called without being armed";
  poller_->Arm(id, /*readable=*/true, /*writable=*/false);
  std::this_thread::sleep_for(30ms);
  EXPECT_EQ(calls, 1);
  poller_->Arm(id, /*readable=*/true, /*writable=*/false);
  second.get_future().get();
}

TEST_F(FdPollerTest, AHangUpIsReportedToWhoeverWaitsForAnything) {
  std::promise<void> called;
  const auto id = poller_->Add(ours_, [&](bool readable, bool writable) {
    EXPECT_TRUE(readable && writable);
    called.set_value();
  });
  theirs_.reset();
  poller_->Arm(id, /*readable=*/false, /*writable=*/true);
  called.get_future().get();
}

TEST_F(FdPollerTest, WhatWasRemovedIsNotCalled) {
  std::atomic<int> calls = 0;
  const auto id = poller_->Add(ours_, [&](bool, bool) { ++calls; });
  poller_->Arm(id, /*readable=*/true, /*writable=*/false);
  poller_->Remove(id);
  poller_->Arm(id, /*readable=*/true, /*writable=*/false);
  ASSERT_EQ(write(theirs_.get(), "x", 1), 1);
  poller_.reset();
  EXPECT_EQ(calls, 0);
}

}  // namespace
}  // namespace ocid
