#include "daemon/compiler/pipeline_compiler.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "nlohmann/json.hpp"
#include "runtime/base/error_details.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using nlohmann::json;

class PipelineCompilerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/ocid-compiler-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    config_.set_bundle(name);
    Write(R"({"ociVersion":"1.0.2","root":{"path":"rootfs"},"process":{"args":["true"],
        "cwd":"/","env":["SECRET=hunter2"],"user":{"uid":0,"gid":0}},
        "linux":{"namespaces":[{"type":"mount"},{"type":"pid"},{"type":"uts"}]}})");
    compiler_ = MakePipelineCompiler(
        {.devices = nullptr, .host = {}, .default_cgroups_path = [](const std::string& id) {
           return "/parent/" + id;
         }});
  }
  void TearDown() override { std::filesystem::remove_all(config_.bundle()); }

  void Write(const std::string& text) const {
    std::ofstream(config_.bundle() + "/config.json") << text;
  }

  v1::OciSpecHistory Describe(const HistoryOptions& options) {
    const auto generated = compiler_->Generate("web", config_, absl::UnixEpoch(), nullptr);
    EXPECT_TRUE(generated.ok()) << generated.status();
    auto history = compiler_->Describe(generated->journal, options);
    EXPECT_TRUE(history.ok()) << history.status();
    return *std::move(history);
  }

  v1::ContainerConfig config_;
  std::unique_ptr<SpecCompiler> compiler_;
};

TEST_F(PipelineCompilerTest, TheRequestOverridesTheBundle) {
  config_.add_args("sleep");
  config_.add_args("5");
  config_.set_hostname("h");
  (*config_.mutable_env())["B"] = "2";
  config_.mutable_resources()->mutable_pids()->set_limit(7);
  const auto generated = compiler_->Generate("web", config_, absl::UnixEpoch(), nullptr);
  ASSERT_TRUE(generated.ok()) << generated.status();
  const json& spec = generated->spec.json();
  EXPECT_EQ(spec["process"]["args"], json({"sleep", "5"}));
  EXPECT_EQ(spec["process"]["env"], json({"SECRET=hunter2", "B=2"}));
  EXPECT_EQ(spec["hostname"], "h");
  EXPECT_EQ(spec["linux"]["resources"]["pids"]["limit"], 7);
  EXPECT_EQ(spec["linux"]["cgroupsPath"], "/parent/web");
  EXPECT_EQ(generated->sha256, generated->spec.Digest());
}

TEST_F(PipelineCompilerTest, TheSameRequestGivesTheSameSpec) {
  for (const char* name : {"A", "B", "C", "D", "E"}) (*config_.mutable_env())[name] = "x";
  const auto first = compiler_->Generate("web", config_, absl::UnixEpoch(), nullptr);
  const auto second = compiler_->Generate("web", config_, absl::UnixEpoch() + absl::Hours(1), nullptr);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->sha256, second->sha256);
}

TEST_F(PipelineCompilerTest, ThePatchesOfTheFullHistoryMakeTheFinalSpec) {
  config_.set_hostname("h");
  const v1::OciSpecHistory history = Describe({.view = v1::SPEC_VIEW_FULL});
  json document = json::object();
  std::string digest = Sha256Digest("{}");
  for (const v1::SpecStep& step : history.steps()) {
    EXPECT_EQ(step.digest_before(), digest);
    document = document.patch(json::parse(step.json_patch()));
    digest = step.digest_after();
  }
  EXPECT_EQ(CanonicalJson(document), history.final().json());
  EXPECT_EQ(digest, history.final().sha256());
}

TEST_F(PipelineCompilerTest, ViewsShowWhatTheyAreNamedFor) {
  const v1::OciSpecHistory final_view = Describe({.view = v1::SPEC_VIEW_UNSPECIFIED});
  EXPECT_FALSE(final_view.final().json().empty());
  EXPECT_TRUE(final_view.original().json().empty());
  EXPECT_EQ(final_view.steps_size(), 0);
  const v1::OciSpecHistory diff = Describe({.view = v1::SPEC_VIEW_DIFF});
  EXPECT_TRUE(diff.final().json().empty());
  EXPECT_FALSE(diff.final().sha256().empty());
  EXPECT_FALSE(diff.original().sha256().empty());
  const v1::OciSpecHistory documents =
      Describe({.view = v1::SPEC_VIEW_FULL, .include_documents = true});
  EXPECT_EQ(documents.steps().rbegin()->document_after().json(), documents.final().json());
}

TEST_F(PipelineCompilerTest, ARedactedHistoryHasNoSecretAndTheSameDigests) {
  const HistoryOptions options = {.view = v1::SPEC_VIEW_FULL, .include_documents = true};
  HistoryOptions redacted = options;
  redacted.redact = true;
  const v1::OciSpecHistory open = Describe(options);
  const v1::OciSpecHistory hidden = Describe(redacted);
  EXPECT_TRUE(absl::StrContains(open.DebugString(), "hunter2"));
  EXPECT_FALSE(absl::StrContains(hidden.DebugString(), "hunter2"));
  EXPECT_TRUE(hidden.redacted());
  EXPECT_EQ(hidden.final().sha256(), open.final().sha256());
}

TEST_F(PipelineCompilerTest, ASpecThatBreaksTheSchemaNamesEachPointer) {
  Write(R"({"ociVersion":"1.0.2","root":{"path":1},"process":{"args":"true","cwd":"/",
      "user":{"uid":0,"gid":0}},"linux":{}})");
  const absl::Status status = compiler_->Generate("web", config_, absl::UnixEpoch(), nullptr).status();
  EXPECT_EQ(GetReason(status), "SPEC_INVALID");
  EXPECT_GE(GetFieldViolations(status).size(), 2u);
}

TEST_F(PipelineCompilerTest, CompilesPlansForCreateAndExec) {
  const auto generated = compiler_->Generate("web", config_, absl::UnixEpoch(), nullptr);
  ASSERT_TRUE(generated.ok()) << generated.status();
  const auto plan = compiler_->CompilePlan("web", config_, generated->spec, {});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_FALSE(plan->plan.empty());
  EXPECT_EQ(plan->executor_sha256, generated->sha256);
  v1::ExecConfig exec;
  exec.add_args("sh");
  const auto join = compiler_->CompileExecPlan("web", config_, generated->spec, exec);
  ASSERT_TRUE(join.ok()) << join.status();
  EXPECT_NE(*join, plan->plan);
}

TEST_F(PipelineCompilerTest, AnImageIsNotImplementedYet) {
  config_.set_image("busybox");
  EXPECT_EQ(GetReason(compiler_->Generate("web", config_, absl::UnixEpoch(), nullptr).status()),
            "NOT_IMPLEMENTED");
}

TEST_F(PipelineCompilerTest, ABrokenJournalIsDataLoss) {
  EXPECT_EQ(GetReason(compiler_->Describe("{", {}).status()), "RECORD_CORRUPT");
}

}  // namespace
}  // namespace ocid
