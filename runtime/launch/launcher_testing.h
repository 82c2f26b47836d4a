// LauncherTest: the base of test cases that each launch real containers from a bundle of their own, and
// leave no mount behind. Skips where no container can be launched.
#ifndef OCID_RUNTIME_LAUNCH_LAUNCHER_TESTING_H_
#define OCID_RUNTIME_LAUNCH_LAUNCHER_TESTING_H_

#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "runtime/launch/container_fixture.h"

namespace ocid {

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class LauncherTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = UnavailableBecause();
    if (!reason.empty()) GTEST_SKIP() << reason;
    bundle_ = std::make_unique<TestBundle>();
    spec_ = DefaultSpec({"true"});
    mounts_before_ = ReadFile("/proc/self/mountinfo");
  }

  void TearDown() override {
    if (bundle_ == nullptr) return;
    EXPECT_EQ(ReadFile("/proc/self/mountinfo"), mounts_before_) << "a mount was left behind";
  }

  // What spec_ says, run to its end.
  RunResult Run() {
    CreatePlanRequest request{.spec = spec_, .id = "test", .bundle = bundle_->path()};
    request.host = host_;
    return RunContainer(request);
  }

  RunResult Shell(const std::string& script) {
    spec_["process"]["args"] = {"sh", "-c", script};
    return Run();
  }

  // The output of a script that must succeed.
  std::string Output(const std::string& script) {
    const RunResult result = Shell(script);
    EXPECT_TRUE(result.Exited(0)) << result.failure_text << "\n" << result.output;
    return result.output;
  }

  // A container at its gate; null, and a failure of the test, where it cannot be made.
  std::unique_ptr<TestContainer> Create(const std::string& script) {
    spec_["process"]["args"] = {"sh", "-c", script};
    CreatePlanRequest request{.spec = spec_, .id = "test", .bundle = bundle_->path()};
    auto container = TestContainer::Create(request);
    EXPECT_TRUE(container.ok()) << container.status();
    return container.ok() ? *std::move(container) : nullptr;
  }

  // The container's root is host user 100000, who may enter the bundle.
  void UseUserNamespace() {
    spec_["linux"]["namespaces"].push_back({{"type", "user"}});
    const nlohmann::json mapping = {{{"containerID", 0}, {"hostID", 100000}, {"size", 65536}}};
    spec_["linux"]["uidMappings"] = mapping;
    spec_["linux"]["gidMappings"] = mapping;
    ASSERT_EQ(chmod(bundle_->path().c_str(), 0755), 0);
  }

  std::unique_ptr<TestBundle> bundle_;
  nlohmann::json spec_;
  HostFacts host_;  // of Run

 private:
  std::string mounts_before_;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_LAUNCH_LAUNCHER_TESTING_H_
