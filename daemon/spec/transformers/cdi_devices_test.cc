#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/cdi/cdi_registry.h"
#include "daemon/spec/spec_pipeline.h"
#include "daemon/spec/transformers/transformers.h"
#include "gtest/gtest.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

// A folder of its own for each test.
class CdiDevices : public ::testing::Test {
 protected:
  CdiDevices() {
    std::string pattern = ::testing::TempDir() + "cdi.XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  ~CdiDevices() override { std::filesystem::remove_all(directory_); }

  void Write(const std::string& name, std::string_view text) {
    std::ofstream(directory_ + "/" + name) << text;
  }

  absl::StatusOr<SpecResult> Run(std::vector<std::string> devices, Json annotations = nullptr) {
    Json bundle = Json::parse(R"({"ociVersion":"1.2.0","root":{"path":"/r"},
      "process":{"cwd":"/","args":["sh"],"env":["GPU=bundle"],"user":{"uid":1000,"gid":1000}},
      "mounts":[{"destination":"/a/b","type":"tmpfs","source":"t"}]})");
    if (!annotations.is_null()) bundle["annotations"] = annotations;
    SpecRequest request;
    request.container_id = "c1";
    request.bundle_path = "/bundle";
    request.bundle.spec = OciSpec(bundle);
    request.cdi_devices = std::move(devices);
    CdiRegistry registry({directory_});
    return SpecPipeline(DefaultTransformers(&registry)).Run(request);
  }

  std::string directory_;
};

constexpr char kGpus[] = R"(
cdiVersion: 0.7.0
kind: vendor.com/gpu
containerEdits:
  env: [DRIVER=1]
devices:
  - name: "0"
    containerEdits:
      env: [GPU=0]
      deviceNodes: [{path: /dev/gpu0, hostPath: /dev/null}]
      mounts: [{hostPath: /lib/gpu, containerPath: /lib, options: [ro, rbind]}]
      hooks: [{hookName: createContainer, path: /usr/bin/hook, args: [hook, "0"]}]
      additionalGids: [44]
  - name: "1"
    containerEdits:
      env: [GPU=1]
      deviceNodes: [{path: /dev/gpu1, hostPath: /dev/zero}]
      additionalGids: [44, 0, 45]
)";

TEST_F(CdiDevices, EachFileOnceAndEachDeviceIsAStep) {
  Write("gpu.yaml", kGpus);
  const absl::StatusOr<SpecResult> result = Run({"vendor.com/gpu=0", "vendor.com/gpu=1"});
  ASSERT_TRUE(result.ok()) << result.status();
  std::vector<std::string> actors;
  for (const SpecStep& step : result->journal.steps()) {
    if (step.actor.kind != ActorKind::kCdi) continue;
    actors.push_back(step.actor.name);
    EXPECT_EQ(step.actor.source_file, directory_ + "/gpu.yaml");
    EXPECT_TRUE(step.actor.source_sha256.starts_with("sha256:"));
    EXPECT_EQ(step.actor.version, "0.7.0");
  }
  EXPECT_EQ(actors,
            (std::vector<std::string>{"vendor.com/gpu", "vendor.com/gpu=0", "vendor.com/gpu=1"}));
  EXPECT_TRUE(result->journal.Verify().ok());
  const Json& spec = result->spec.json();
  EXPECT_EQ(spec["process"]["env"], Json({"GPU=1", "DRIVER=1"}));
  EXPECT_EQ(spec["linux"]["devices"][0],
            Json::parse(R"({"path":"/dev/gpu0","type":"c","major":1,"minor":3,"fileMode":438,
                            "uid":1000,"gid":1000})"));
  EXPECT_EQ(spec["linux"]["resources"]["devices"][1],
            Json::parse(R"({"allow":true,"type":"c","major":1,"minor":5,"access":"rwm"})"));
  EXPECT_EQ(spec["mounts"][0]["destination"], "/lib");
  EXPECT_EQ(spec["process"]["user"]["additionalGids"], Json({44, 45}));
}

TEST_F(CdiDevices, AnOverrideOfTheBundleIsARecordedConflict) {
  Write("gpu.yaml", kGpus);
  const absl::StatusOr<SpecResult> result = Run({"vendor.com/gpu=0", "vendor.com/gpu=1"});
  ASSERT_TRUE(result.ok()) << result.status();
  const std::vector<SpecStep>& steps = result->journal.steps();
  ASSERT_EQ(steps.size(), 4u);
  ASSERT_EQ(steps[2].conflicts.size(), 1u);
  EXPECT_EQ(steps[2].conflicts[0].previous_actor, "bundle");
  ASSERT_EQ(steps[3].conflicts.size(), 1u);
  EXPECT_EQ(steps[3].conflicts[0].previous_actor, "vendor.com/gpu=0");
  EXPECT_EQ(steps[3].conflicts[0].what, "environment variable GPU");
}

TEST_F(CdiDevices, AnnotationsAskForDevicesTooAndEachIsInjectedOnce) {
  Write("gpu.yaml", kGpus);
  const absl::StatusOr<SpecResult> result =
      Run({"vendor.com/gpu=0"},
          {{"cdi.k8s.io/plugin_x", "vendor.com/gpu=0,vendor.com/gpu=1"}, {"other", "x"}});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->spec.json()["linux"]["devices"].size(), 2u);
  EXPECT_EQ(result->spec.json()["hooks"]["createContainer"].size(), 1u);
}

TEST_F(CdiDevices, EveryUnresolvableNameIsListedWithItsReason) {
  Write("gpu.yaml", kGpus);
  Write("bad.yaml", "cdiVersion: 0.5.0\nkind: other.com/x\ndevices:\n  - nme: a\n");
  Write("dup.yaml",
        "cdiVersion: 0.5.0\nkind: vendor.com/gpu\ndevices: [{name: '1', "
        "containerEdits: {env: [A=1]}}]\n");
  const absl::Status status = Run({"vendor.com/gpu=0", "vendor.com/gpu=9", "other.com/x=a",
                                   "vendor.com/gpu=1", "nonsense", "vendor.com/net=0"})
                                  .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetReason(status), "DEVICE_UNRESOLVABLE");
  const ErrorMetadata causes = GetErrorMetadata(status);
  ASSERT_EQ(causes.size(), 5u) << status;
  EXPECT_NE(causes.at("vendor.com/gpu=9").find("no such device of vendor.com/gpu"),
            std::string::npos);
  EXPECT_NE(causes.at("other.com/x=a").find("unknown vendor other.com"), std::string::npos);
  EXPECT_NE(causes.at("other.com/x=a").find("bad.yaml: line 4: unknown field \"nme\""),
            std::string::npos)
      << causes.at("other.com/x=a");
  EXPECT_NE(causes.at("vendor.com/gpu=1").find("dup.yaml"), std::string::npos);
  EXPECT_NE(causes.at("vendor.com/net=0").find("unknown class"), std::string::npos);
}

TEST_F(CdiDevices, AMissingHostNodeFailsTheCreateAndNamesDeviceAndFile) {
  Write("gpu.yaml",
        "cdiVersion: 0.5.0\nkind: vendor.com/gpu\ndevices: [{name: gone, containerEdits: "
        "{deviceNodes: [{path: /dev/gone, hostPath: /nonexistent/gpu}]}}]\n");
  const absl::Status status = Run({"vendor.com/gpu=gone"}).status();
  EXPECT_EQ(GetReason(status), "DEVICE_UNRESOLVABLE");
  EXPECT_NE(status.message().find("/nonexistent/gpu"), absl::string_view::npos);
  EXPECT_NE(status.message().find("gpu.yaml"), absl::string_view::npos);
}

}  // namespace
}  // namespace ocid
