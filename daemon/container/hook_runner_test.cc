#include "daemon/container/hook_runner.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

using nlohmann::json;

class HookRunnerTest : public testing::Test {
 protected:
  HookRunnerTest() {
    std::string pattern = testing::TempDir() + "/hooks.XXXXXX";
    base_ = mkdtemp(pattern.data());
  }
  ~HookRunnerTest() override { std::filesystem::remove_all(base_); }

  static json Shell(const std::string& script) {
    return {{"path", "/bin/sh"}, {"args", {"sh", "-c", script}}, {"env", {"NAME=value"}}};
  }
  std::vector<absl::Status> Run(const json& poststop) {
    const OciSpec spec(json{{"ociVersion", "1.2.0"},
                            {"annotations", {{"a", "b"}}},
                            {"hooks", {{"poststop", poststop}}}});
    return RunPoststopHooks(spec, "c1", "/bundle", absl::Seconds(30));
  }
  std::string Read(const std::string& name) const {
    std::ifstream in(base_ + "/" + name);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::string base_;
};

TEST_F(HookRunnerTest, AHookGetsTheStateAndItsEnvironment) {
  EXPECT_TRUE(Run(json::array({Shell("cat > " + base_ + "/state; echo $NAME > " + base_ + "/env")}))
                  .empty());
  EXPECT_EQ(json::parse(Read("state")), (json{{"ociVersion", "1.2.0"},
                                              {"id", "c1"},
                                              {"status", "stopped"},
                                              {"bundle", "/bundle"},
                                              {"annotations", {{"a", "b"}}}}));
  EXPECT_EQ(Read("env"), "value\n");
}

TEST_F(HookRunnerTest, AFailureDoesNotStopTheHooksAfterIt) {
  const auto failures = Run(json::array({Shell("exit 3"), json{{"path", "/no/such/hook"}},
                                         Shell("kill -9 $$"), Shell("> " + base_ + "/last")}));
  ASSERT_EQ(failures.size(), 3u);
  EXPECT_EQ(GetReason(failures[0]), "HOOK_FAILED");
  EXPECT_EQ(failures[0].message(), "poststop hook /bin/sh: exit code 3");
  EXPECT_EQ(failures[1].message(), "poststop hook /no/such/hook: ENOENT");
  EXPECT_EQ(failures[2].message(), "poststop hook /bin/sh: signal 9");
  EXPECT_TRUE(std::filesystem::exists(base_ + "/last"));
}

TEST_F(HookRunnerTest, AHookThatTakesTooLongIsKilled) {
  json hook = {{"path", "/bin/sleep"}, {"args", {"sleep", "1000"}}, {"timeout", 1}};
  const auto failures = Run(json::array({hook}));
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].message(), "poststop hook /bin/sleep: not done after 1s");
}

TEST_F(HookRunnerTest, WithoutHooksNothingRuns) {
  EXPECT_TRUE(RunPoststopHooks(OciSpec(), "c1", "/bundle", absl::Seconds(1)).empty());
}

}  // namespace
}  // namespace ocid
