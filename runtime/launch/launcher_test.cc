#include "runtime/launch/launcher.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "gtest/gtest.h"
#include "runtime/launch/container_fixture.h"

namespace ocid {
namespace {

using nlohmann::json;

class Launcher : public testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = UnavailableBecause();
    if (!reason.empty()) GTEST_SKIP() << reason;
    bundle_ = std::make_unique<TestBundle>();
  }

  RunResult Shell(const std::string& script) {
    return RunContainer(*bundle_, DefaultSpec({"sh", "-c", script}));
  }

  std::unique_ptr<TestBundle> bundle_;
};

TEST_F(Launcher, AContainerRunsAndItsExitCodeComesBack) {
  const RunResult result = Shell("echo hello; exit 7");
  EXPECT_TRUE(result.Exited(7)) << result.failure_text << result.output;
  EXPECT_EQ(result.output, "hello\n");
}

TEST_F(Launcher, TheProgramSeesItsOwnNamespaces) {
  const RunResult result = Shell("hostname; echo $$; cat /proc/net/dev | wc -l; pwd");
  EXPECT_TRUE(result.Exited(0)) << result.failure_text << result.output;
}

TEST_F(Launcher, OnlyTheStandardStreamsAreOpen) {
  const RunResult result = Shell("exec ls -l /proc/self/fd");
  EXPECT_TRUE(result.Exited(0)) << result.failure_text << result.output;
  EXPECT_EQ(result.output, "");
}

}  // namespace
}  // namespace ocid
