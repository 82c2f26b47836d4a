#include "runtime/host/spawn_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "gtest/gtest.h"

namespace ocid {
namespace {

int ExitCodeOf(const SpawnedProcess& process) {
  int status = 0;
  if (::waitpid(process.pid, &status, 0) != process.pid) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string OutputOf(const std::string& script) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const UniqueFd high(::fcntl(writer.get(), F_DUPFD_CLOEXEC, 10));
  writer.reset();
  auto process = SpawnProcess({.program = "/bin/sh",
                               .args = {"sh", "-c", script},
                               .fds = {{high, STDOUT_FILENO}},
                               .cgroup2_dir = {}});
  EXPECT_TRUE(process.ok()) << process.status();
  if (!process.ok()) return "";
  EXPECT_TRUE(process->pidfd.valid());
  EXPECT_EQ(ExitCodeOf(*process), 0);
  std::string text(4096, '\0');
  const ssize_t size = ::read(reader.get(), text.data(), text.size());
  text.resize(size > 0 ? static_cast<size_t>(size) : 0);
  return text;
}

TEST(SpawnProcess, TheProgramHasItsArgumentsDescriptorsAndAnEmptyEnvironment) {
  EXPECT_EQ(OutputOf("echo hello; pwd"), "hello\n/\n");
  EXPECT_EQ(OutputOf("test -z \"$HOME$PATHS\" && echo empty"), "empty\n");
}

TEST(SpawnProcess, TheProgramIsASessionWithEverySignalBlocked) {
  EXPECT_EQ(OutputOf("read -r pid x x x pgrp session x < /proc/self/stat; test $pid = $$ &&"
                     " test $session = $$ && echo leader"),
            "leader\n");
  EXPECT_EQ(OutputOf("while read -r key value; do test $key != SigBlk: || echo $value; done"
                     " < /proc/self/status"),
            "fffffffe7ffbfeff\n");
}

TEST(SpawnProcess, AProgramThatCannotBeExecutedIsAnErrorAndLeavesNoChild) {
  const auto process =
      SpawnProcess({.program = "/nowhere", .args = {"x"}, .fds = {}, .cgroup2_dir = {}});
  EXPECT_TRUE(absl::IsNotFound(process.status())) << process.status();
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
}

TEST(SpawnProcess, ManyThreadsSpawnAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([] {
      for (int round = 0; round < 25; ++round) {
        auto process = SpawnProcess(
            {.program = "/bin/true", .args = {"true"}, .fds = {}, .cgroup2_dir = {}});
        ASSERT_TRUE(process.ok()) << process.status();
        EXPECT_EQ(ExitCodeOf(*process), 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace ocid
