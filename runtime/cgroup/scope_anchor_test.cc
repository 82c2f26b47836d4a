#include "runtime/cgroup/scope_anchor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace ocid {
namespace {

std::vector<std::string> OpenDescriptors(pid_t pid) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(absl::StrCat("/proc/", pid, "/fd"))) {
    names.push_back(entry.path().filename());
  }
  return names;
}

TEST(ScopeAnchorTest, ItLivesUntilItIsReleased) {
  auto anchor = ScopeAnchor::Start();
  ASSERT_TRUE(anchor.ok()) << anchor.status();
  const pid_t pid = anchor->pid();
  EXPECT_TRUE(anchor->Alive());
  anchor->Release();
  EXPECT_FALSE(anchor->Alive());
  EXPECT_NE(::kill(pid, 0), 0);
  EXPECT_EQ(errno, ESRCH);
  anchor->Release();
}

TEST(ScopeAnchorTest, ItKeepsNothingOfOursOpenAndHasNoneOfOurMemory) {
  const UniqueFd inheritable(::open("/dev/null", O_RDWR));
  ASSERT_TRUE(inheritable.valid());
  const auto anchor = ScopeAnchor::Start();
  ASSERT_TRUE(anchor.ok()) << anchor.status();
  // execve closes the rest a moment after it has let us go on.
  const std::vector<std::string> alone = {"0"};
  for (int i = 0; i < 5000 && OpenDescriptors(anchor->pid()) != alone; ++i) ::usleep(1000);
  EXPECT_EQ(OpenDescriptors(anchor->pid()), alone);
  std::ifstream maps(absl::StrCat("/proc/", anchor->pid(), "/maps"));
  const std::string text{std::istreambuf_iterator<char>(maps), {}};
  EXPECT_NE(text.find("ocid-anchor"), std::string::npos) << text;
  EXPECT_EQ(text.find("libc"), std::string::npos) << text;
}

TEST(ScopeAnchorTest, SomebodyElseMayKillItAndWaitForIt) {
  auto anchor = ScopeAnchor::Start();
  ASSERT_TRUE(anchor.ok()) << anchor.status();
  EXPECT_EQ(::kill(anchor->pid(), SIGKILL), 0);
  EXPECT_EQ(::waitpid(-1, nullptr, 0), anchor->pid());
  EXPECT_FALSE(anchor->Alive());
  anchor->Release();
}

TEST(ScopeAnchorTest, ItEndsWithItsStarter) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const pid_t starter = ::fork();
  if (starter == 0) {
    const auto anchor = ScopeAnchor::Start();
    const pid_t pid = anchor.ok() ? anchor->pid() : -1;
    const bool written = ::write(ends[1], &pid, sizeof(pid)) == sizeof(pid);
    ::_exit(written ? 0 : 1);  // no destructor releases it
  }
  pid_t pid = -1;
  ASSERT_EQ(::read(ends[0], &pid, sizeof(pid)), static_cast<ssize_t>(sizeof(pid)));
  ASSERT_GT(pid, 0);
  ::waitpid(starter, nullptr, 0);
  // Whose child it has become need not have reaped it.
  const auto running = [pid] {
    std::ifstream stat(absl::StrCat("/proc/", pid, "/stat"));
    std::string number, name, state;
    return static_cast<bool>(stat >> number >> name >> state) && state != "Z";
  };
  for (int i = 0; i < 5000 && running(); ++i) ::usleep(1000);
  EXPECT_FALSE(running());
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace ocid
