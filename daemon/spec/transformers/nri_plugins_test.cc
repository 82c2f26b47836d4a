#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/cdi/cdi_registry.h"
#include "daemon/nri/nri_testing.h"
#include "daemon/spec/redact.h"
#include "daemon/spec/spec_pipeline.h"
#include "daemon/spec/transformers/transformers.h"
#include "gtest/gtest.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

// A plugin of a test: what it answers, and what it was asked.
struct ScriptedPlugin {
  std::string index;
  std::string name;
  std::string answer = "{}";  // a CreateContainerResponse
  PluginOutcome outcome = PluginOutcome::kAnswered;
  std::string error = {};
  PluginPolicy policy = {};
};

class ScriptedCalls final : public PluginCalls {
 public:
  explicit ScriptedCalls(std::vector<ScriptedPlugin> scripts) : scripts_(std::move(scripts)) {
    for (const ScriptedPlugin& script : scripts_) {
      plugins_.push_back({script.index, script.name, script.policy});
    }
    subject_.container_id = "c1";
    subject_.container_name = "c1";
  }

  const std::vector<PluginInfo>& plugins() const override { return plugins_; }
  const PluginSubject& subject() const override { return subject_; }

  absl::StatusOr<CreateAnswer> CreateContainer(
      size_t plugin, const nri::CreateContainerRequest& request) override {
    asked.push_back(request);
    const ScriptedPlugin& script = scripts_[plugin];
    if (!script.error.empty()) return absl::FailedPreconditionError(script.error);
    CreateAnswer answer;
    answer.outcome = script.outcome;
    answer.reason = "timeout";
    answer.response = FromJson<nri::CreateContainerResponse>(script.answer);
    return answer;
  }
  absl::StatusOr<UpdateAnswer> UpdateContainer(size_t,
                                               const nri::UpdateContainerRequest&) override {
    return UpdateAnswer();
  }
  std::vector<ValidatorVerdict> Validate(
      const nri::ValidateContainerAdjustmentRequest& request) override {
    validated.push_back(request);
    if (rejection.empty()) return {};
    return {
        {.plugin = plugins_.size() - 1, .accepted = false, .reason = rejection, .duration = {}}};
  }
  absl::Status Apply(const std::vector<nri::ContainerUpdate>& updates,
                     const std::vector<nri::ContainerEviction>& evictions) override {
    updated.insert(updated.end(), updates.begin(), updates.end());
    evicted.insert(evicted.end(), evictions.begin(), evictions.end());
    return absl::OkStatus();
  }

  std::vector<nri::CreateContainerRequest> asked;
  std::vector<nri::ValidateContainerAdjustmentRequest> validated;
  std::vector<nri::ContainerUpdate> updated;
  std::vector<nri::ContainerEviction> evicted;
  std::string rejection;

 private:
  const std::vector<ScriptedPlugin> scripts_;
  std::vector<PluginInfo> plugins_;
  PluginSubject subject_;
};

class NriPlugins : public ::testing::Test {
 protected:
  NriPlugins() {
    std::string pattern = ::testing::TempDir() + "nri.XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    std::ofstream(directory_ + "/gpu.yaml") << R"(
cdiVersion: 0.7.0
kind: vendor.com/gpu
containerEdits:
  env: [DRIVER=1]
devices:
  - name: "0"
    containerEdits:
      deviceNodes: [{path: /dev/gpu0, hostPath: /dev/null}, {path: /dev/gpu1, hostPath: /dev/null}]
      mounts: [{hostPath: /lib, containerPath: /gpu, options: [rbind]}]
)";
  }
  ~NriPlugins() override { std::filesystem::remove_all(directory_); }

  absl::StatusOr<SpecResult> Run(ScriptedCalls* calls, NriPluginsOptions options = {}) {
    SpecRequest request;
    request.container_id = "c1";
    request.bundle_path = "/bundle";
    request.bundle.spec = OciSpec(Json::parse(R"({"ociVersion":"1.2.0","root":{"path":"/r"},
      "annotations":{"devices.noderesource.dev":"x"},
      "process":{"cwd":"/","args":["sh"],"env":["A=bundle"],"user":{"uid":0,"gid":0}},
      "mounts":[{"destination":"/data","type":"tmpfs","source":"t"}],
      "linux":{"namespaces":[{"type":"mount"}]}})"));
    request.overrides.env = {"R=request"};
    request.cdi_devices = cdi_devices_;
    request.plugins = calls;
    CdiRegistry registry({directory_});
    return SpecPipeline(DefaultTransformers(&registry, std::move(options))).Run(request);
  }

  std::string directory_;
  std::vector<std::string> cdi_devices_;
};

std::vector<const SpecStep*> PluginSteps(const SpecResult& result) {
  std::vector<const SpecStep*> steps;
  for (const SpecStep& step : result.journal.steps()) {
    if (step.phase == SpecPhase::kPlugins) steps.push_back(&step);
  }
  return steps;
}

TEST_F(NriPlugins, EachPluginIsAStepWithWhatItAskedForAndEachSeesWhatIsThere) {
  ScriptedCalls calls({{"05", "logger"},
                       {"10", "a", R"({"adjust":{"env":[{"key":"A","value":"plugin"}],
                                       "mounts":[{"destination":"-/data"}]}})"},
                       {"20", "b", R"({"adjust":{"linux":{"rdt":{"clos_id":{"value":"x"}}}}})"},
                       {"30", "silent", "{}", PluginOutcome::kNotSubscribed},
                       {"40", "gone", "{}", PluginOutcome::kUnavailable}});
  const absl::StatusOr<SpecResult> result = Run(&calls, {.host = {.no_intel_rdt = "not here"}});
  ASSERT_TRUE(result.ok()) << result.status();
  const std::vector<const SpecStep*> steps = PluginSteps(*result);
  ASSERT_EQ(steps.size(), 4u);
  EXPECT_EQ(steps[0]->actor.name, "05-logger");
  EXPECT_EQ(steps[0]->patch, "[]");
  EXPECT_EQ(steps[1]->actor.name, "10-a");
  EXPECT_EQ(steps[1]->actor.kind, ActorKind::kNri);
  EXPECT_EQ(Json::parse(steps[1]->requested_json)["adjust"]["env"][0]["value"], "plugin");
  ASSERT_EQ(steps[1]->conflicts.size(), 2u);
  EXPECT_EQ(steps[1]->conflicts[0].previous_actor, "bundle");
  ASSERT_EQ(steps[2]->ignored.size(), 1u);
  EXPECT_EQ(steps[2]->ignored[0].pointer, "/linux/intelRdt/closID");
  EXPECT_EQ(steps[2]->ignored[0].reason, "not here");
  EXPECT_EQ(steps[3]->actor.name, "40-gone");
  EXPECT_EQ(steps[3]->ignored[0].reason, "the plugin gave no answer: timeout");
  EXPECT_TRUE(result->journal.Verify().ok());
  const absl::StatusOr<SpecJournal> stored = SpecJournal::Parse(result->journal.Serialize());
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(*stored, result->journal);
  EXPECT_EQ(RedactJournal(result->journal)->Serialize().find("plugin\\\"}"), std::string::npos);

  ASSERT_EQ(calls.asked.size(), 5u);
  EXPECT_EQ(calls.asked[1].container().env(0), "A=bundle");
  EXPECT_EQ(calls.asked[1].container().mounts_size(), 1);
  EXPECT_EQ(calls.asked[2].container().env(0), "A=plugin");
  EXPECT_EQ(calls.asked[2].container().mounts_size(), 0);
  EXPECT_EQ(calls.asked[0].pod().annotations().at("devices.noderesource.dev"), "x");
}

TEST_F(NriPlugins, TwoThatWantTheSameThingFailTheCreate) {
  constexpr char kSame[] = R"({"adjust":{"mounts":[{"destination":"/m","source":"/"}]}})";
  ScriptedCalls calls({{"10", "a", kSame}, {"20", "b", kSame}});
  const absl::Status status = Run(&calls).status();
  EXPECT_EQ(status.message(), "plugins \"20-b\" and \"10-a\" both tried to set Mounts /m");
  EXPECT_EQ(GetReason(status), "DEVICE_CONFLICT");
  EXPECT_TRUE(calls.validated.empty());
}

TEST_F(NriPlugins, WhatTheRequestSetStaysTheRequests) {
  ScriptedCalls calls({{"10", "a", R"({"adjust":{"env":[{"key":"R","value":"plugin"}]}})"}});
  const absl::Status status = Run(&calls).status();
  EXPECT_EQ(GetReason(status), "DEVICE_CONFLICT");
  EXPECT_NE(status.message().find("10-a"), absl::string_view::npos);
}

TEST_F(NriPlugins, AnErrorOfAPluginFailsTheCreateInItsName) {
  ScriptedCalls calls({{.index = "10", .name = "a", .error = "bad annotation"}});
  const absl::Status status = Run(&calls).status();
  EXPECT_EQ(status.message(), "NRI plugin 10-a: bad annotation");
  EXPECT_EQ(GetReason(status), "PLUGIN_FAILED");
  ScriptedCalls nonsense({{"10", "a", R"({"adjust":{"linux":{"namespaces":[{"type":"x"}]}}})"}});
  EXPECT_EQ(Run(&nonsense).status().message(), "NRI plugin 10-a: unknown namespace type \"x\"");
}

TEST_F(NriPlugins, WhoMadeTheSpecInvalidIsNamed) {
  ScriptedCalls calls({{"10", "a", R"({"adjust":{"linux":{"sysctl":{"kernel.panic":"1"}}}})"}});
  const absl::Status status = Run(&calls).status();
  EXPECT_EQ(GetReason(status), "SPEC_INVALID");
  EXPECT_NE(status.message().find("kernel.panic"), absl::string_view::npos);
  EXPECT_NE(status.message().find("(set by 10-a)"), absl::string_view::npos) << status;
}

TEST_F(NriPlugins, CdiDevicesOfAPluginAreStepsOfTheirOwnUnderIt) {
  ScriptedCalls calls({{"10", "a", R"({"adjust":{"cdi_devices":[{"name":"vendor.com/gpu=0"}],
      "linux":{"devices":[{"path":"/dev/gpu1","type":"c","major":9,"minor":9}]},
      "mounts":[{"destination":"/gpu","source":"/other","options":["rbind"]}]}})"}});
  const absl::StatusOr<SpecResult> result = Run(&calls);
  ASSERT_TRUE(result.ok()) << result.status();
  const std::vector<const SpecStep*> steps = PluginSteps(*result);
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_EQ(steps[1]->actor.name, "vendor.com/gpu");
  EXPECT_EQ(steps[1]->actor.on_behalf_of, "10-a");
  EXPECT_EQ(steps[2]->actor.name, "vendor.com/gpu=0");
  EXPECT_EQ(steps[2]->actor.kind, ActorKind::kCdi);
  // What plugins name themselves wins over what a device brings.
  ASSERT_EQ(steps[2]->ignored.size(), 2u);
  EXPECT_EQ(steps[2]->ignored[0].reason, "plugin 10-a set it");
  const Json& spec = result->spec.json();
  EXPECT_EQ(spec["linux"]["devices"].size(), 2u);
  EXPECT_EQ(spec["linux"]["devices"][0]["major"], 9);
  EXPECT_EQ(spec["process"]["env"].back(), "DRIVER=1");
}

TEST_F(NriPlugins, ADeviceThatIsThereIsNotInjectedAgain) {
  cdi_devices_ = {"vendor.com/gpu=0"};
  ScriptedCalls calls({{"10", "a", R"({"adjust":{"cdi_devices":[{"name":"vendor.com/gpu=0"}]}})"}});
  const absl::StatusOr<SpecResult> result = Run(&calls);
  ASSERT_TRUE(result.ok()) << result.status();
  const std::vector<const SpecStep*> steps = PluginSteps(*result);
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0]->ignored[0].reason, "CDI device vendor.com/gpu=0 is there already");
  EXPECT_EQ(calls.asked[0].container().cdi_devices(0).name(), "vendor.com/gpu=0");
}

TEST_F(NriPlugins, AnUnresolvableDeviceNamesThePlugin) {
  ScriptedCalls calls({{"10", "a", R"({"adjust":{"cdi_devices":[{"name":"vendor.com/gpu=9"}]}})"}});
  const absl::Status status = Run(&calls).status();
  EXPECT_EQ(GetReason(status), "DEVICE_UNRESOLVABLE");
  EXPECT_TRUE(std::string(status.message()).starts_with("NRI plugin 10-a: unresolvable"));
}

TEST_F(NriPlugins, AnEditOutsideThePolicyIsRefusedAndTold) {
  PluginPolicy policy;
  policy.fields.emplace({nri::Env});
  ScriptedCalls calls({{.index = "10",
                        .name = "a",
                        .answer = R"({"adjust":{"env":[{"key":"N"}],"args":["evil"]},"update":[
                            {"container_id":"c2","linux":{"resources":{"pids":{"limit":1}}}}]})",
                        .policy = policy}});
  const absl::StatusOr<SpecResult> result = Run(&calls);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->spec.Args(), std::vector<std::string>{"sh"});
  EXPECT_EQ(result->spec.EnvValue("N"), "");
  const SpecStep& step = *PluginSteps(*result)[0];
  ASSERT_EQ(step.ignored.size(), 2u);
  EXPECT_EQ(step.ignored[0].pointer, "/process/args");
  EXPECT_EQ(step.ignored[1].pointer, "c2:/linux/resources/pids");
  ASSERT_EQ(calls.updated.size(), 1u);
  EXPECT_FALSE(calls.updated[0].linux().resources().has_pids());
}

TEST_F(NriPlugins, ValidatorsSeeThePristineContainerTheWholeAndWhoWasAsked) {
  ScriptedCalls calls({{"10", "a", R"({"adjust":{"env":[{"key":"A","value":"1"}]},"update":[
                            {"container_id":"c2","linux":{"resources":{"pids":{"limit":1}}}}],
                            "evict":[{"container_id":"c3"}]})"},
                       {"20", "judge", "{}", PluginOutcome::kNotSubscribed}});
  ASSERT_TRUE(Run(&calls).ok());
  ASSERT_EQ(calls.validated.size(), 1u);
  const nri::ValidateContainerAdjustmentRequest& request = calls.validated[0];
  EXPECT_EQ(request.container().env(0), "A=bundle");
  EXPECT_EQ(request.adjust().env(0).value(), "1");
  EXPECT_EQ(request.owners().owners().at("c1").compound().at(nri::Env).owners().at("A"), "10-a");
  EXPECT_EQ(request.update(0).container_id(), "c2");
  EXPECT_EQ(request.plugins_size(), 2);
  EXPECT_EQ(calls.updated.size(), 1u);
  EXPECT_EQ(calls.evicted.size(), 1u);

  calls.rejection = "not today";
  const absl::Status status = Run(&calls).status();
  EXPECT_EQ(status.message(),
            "validator \"20-judge\" rejected container adjustment, reason: not today");
  EXPECT_EQ(GetReason(status), "PLUGIN_REJECTED");
  EXPECT_EQ(GetErrorMetadata(status).at("plugin"), "20-judge");
  EXPECT_EQ(calls.updated.size(), 1u);  // nobody else is touched
}

TEST_F(NriPlugins, TheDefaultValidatorRejectsUnderItsName) {
  ScriptedCalls calls({{"10", "a", R"({"adjust":{"linux":{"sysctl":{"net.x":"1"}}}})"}});
  NriPluginsOptions options;
  options.validator.enable = true;
  options.validator.reject_sysctl_adjustment = true;
  const absl::Status status = Run(&calls, options).status();
  EXPECT_EQ(GetErrorMetadata(status).at("plugin"), "00-default-validator");
  EXPECT_EQ(GetReason(status), "PLUGIN_REJECTED");
}

}  // namespace
}  // namespace ocid
