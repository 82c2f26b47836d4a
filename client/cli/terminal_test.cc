#include "client/cli/terminal.h"

#include <pty.h>
#include <signal.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "client/cli/signals.h"
#include "gtest/gtest.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace ocid::cli {
namespace {

TEST(DetachKeys, CtrlPCtrlQLetsGo) {
  DetachKeys keys = *DetachKeys::Parse(kDefaultDetachKeys);
  EXPECT_EQ(keys.Feed("ls\x10\x11rest"), "ls");
  EXPECT_TRUE(keys.pressed());
}

TEST(DetachKeys, ALoneCtrlPIsSentWithTheNextKey) {
  DetachKeys keys = *DetachKeys::Parse(kDefaultDetachKeys);
  EXPECT_EQ(keys.Feed("\x10"), "");
  EXPECT_EQ(keys.Feed("a"),
            "\x10"
            "a");
  EXPECT_FALSE(keys.pressed());
}

TEST(DetachKeys, TwoCtrlPThenCtrlQSendTheFirstAndLetGo) {
  DetachKeys keys = *DetachKeys::Parse(kDefaultDetachKeys);
  EXPECT_EQ(keys.Feed("\x10\x10\x11"), "\x10");
  EXPECT_TRUE(keys.pressed());
}

TEST(DetachKeys, AreWhatTheUserChose) {
  DetachKeys one = *DetachKeys::Parse("ctrl-]");
  EXPECT_EQ(one.Feed("a\x1d"), "a");
  EXPECT_TRUE(one.pressed());
  DetachKeys three = *DetachKeys::Parse("ctrl-a,ctrl-a,d");
  EXPECT_EQ(three.Feed("\x01\x01"), "");
  EXPECT_EQ(three.Feed("\x01"), "\x01");
  EXPECT_EQ(three.Feed("x"), "\x01\x01x");
  EXPECT_EQ(three.Feed("\x01\x01" "d"), "");
  EXPECT_TRUE(three.pressed());
}

TEST(DetachKeys, NoneIsNone) {
  DetachKeys keys = *DetachKeys::Parse("none");
  EXPECT_EQ(keys.Feed("\x10\x11"), "\x10\x11");
  EXPECT_FALSE(keys.pressed());
}

TEST(DetachKeys, WhatIsNoKeyIsRefused) {
  for (const char* keys : {"", "ctrl-", "ctrl-pq", "ctrl-p,", ",", "meta-x", "ctrl-1"}) {
    EXPECT_FALSE(DetachKeys::Parse(keys).ok()) << keys;
  }
}

TEST(RawTerminal, PutsTheTerminalBack) {
  int leader = -1;
  int follower = -1;
  ASSERT_EQ(openpty(&leader, &follower, nullptr, nullptr, nullptr), 0);
  const UniqueFd leader_fd(leader);
  const UniqueFd follower_fd(follower);
  termios before;
  ASSERT_EQ(tcgetattr(follower, &before), 0);
  ASSERT_NE(before.c_lflag & static_cast<tcflag_t>(ECHO), 0u);
  {
    const auto raw = RawTerminal::Open(follower);
    ASSERT_TRUE(raw.ok()) << raw.status();
    termios during;
    ASSERT_EQ(tcgetattr(follower, &during), 0);
    EXPECT_EQ(during.c_lflag & static_cast<tcflag_t>(ECHO | ICANON | ISIG), 0u);
  }
  termios after;
  ASSERT_EQ(tcgetattr(follower, &after), 0);
  EXPECT_EQ(after.c_lflag, before.c_lflag);
  EXPECT_EQ(after.c_iflag, before.c_iflag);
}

TEST(RawTerminal, APipeIsNoTerminal) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  EXPECT_FALSE(RawTerminal::Open(ends[0]).ok());
  EXPECT_FALSE(GetConsoleSize(ends[0]).has_value());
}

TEST(GetConsoleSize, ReadsRowsAndColumns) {
  winsize size{.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
  int leader = -1;
  int follower = -1;
  ASSERT_EQ(openpty(&leader, &follower, nullptr, nullptr, &size), 0);
  const UniqueFd leader_fd(leader);
  const UniqueFd follower_fd(follower);
  const auto console = GetConsoleSize(follower);
  ASSERT_TRUE(console.has_value());
  EXPECT_EQ(console->rows(), 24u);
  EXPECT_EQ(console->columns(), 80u);
}

TEST(SignalName, NamesAreThoseOfKill) {
  EXPECT_EQ(SignalName(SIGTERM), "SIGTERM");
  EXPECT_EQ(SignalName(SIGRTMIN + 3), "SIGRTMIN+3");
  EXPECT_EQ(SignalName(200), "200");
}

TEST(SignalRelay, GivesTheProcessesSignalsToTheHandler) {
  SignalRelay::Block();
  Mutex mutex;
  CondVar changed;
  std::vector<int> seen;
  const auto relay = SignalRelay::Start();
  ASSERT_TRUE(relay.ok()) << relay.status();
  (*relay)->SetHandler([&](int signal) {
    const MutexLock lock(mutex);
    seen.push_back(signal);
    changed.SignalAll();
  });
  kill(getpid(), SIGUSR1);
  const MutexLock lock(mutex);
  while (seen.empty()) changed.Wait(mutex);
  EXPECT_EQ(seen.front(), SIGUSR1);
}

TEST(SignalRelay, EndsTheProcessWhileThereIsNoHandler) {
  EXPECT_EXIT(
      {
        SignalRelay::Block();
        const auto relay = SignalRelay::Start();
        kill(getpid(), SIGINT);
        pause();
      },
      ::testing::ExitedWithCode(130), "");
}

}  // namespace
}  // namespace ocid::cli
