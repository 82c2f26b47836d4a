#include "daemon/spec/spec_pipeline.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "daemon/spec/provenance.h"
#include "daemon/spec/spec_changes.h"
#include "daemon/spec/transformers/transformers.h"
#include "gtest/gtest.h"
#include "runtime/base/error_details.h"
#include "runtime/oci/spec_edit.h"

namespace ocid {
namespace {

constexpr char kBundle[] = R"({
  "ociVersion": "1.2.0",
  "root": {"path": "rootfs"},
  "process": {"cwd": "/", "args": ["sh"], "env": ["PATH=/bin", "A=1"], "user": {"uid": 0, "gid": 0}},
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/data", "source": "data", "options": ["rbind"]}
  ],
  "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]},
  "vendorExtension": {"kept": true}
})";

SpecRequest Request(std::string_view bundle = kBundle) {
  SpecRequest request;
  request.container_id = "c1";
  request.bundle_path = "/bundles/c1";
  request.created = "2026-01-02T03:04:05Z";
  request.bundle.spec = OciSpec::Parse(bundle).value();
  request.bundle.source_file = "/bundles/c1/config.json";
  request.bundle.source_sha256 = "sha256:feed";
  request.default_cgroups_path = "ocid.slice:ocid:c1";
  return request;
}

SpecPipeline Pipeline(std::vector<SpecTransformer> more = {}, SpecEditor::Options options = {}) {
  std::vector<SpecTransformer> all = {MakeFinalizeTransformer(), MakeBundleTransformer(),
                                      MakeUpgradeTransformer(), MakeDefaultsTransformer(),
                                      MakeRequestTransformer()};
  for (SpecTransformer& transformer : more) all.push_back(std::move(transformer));
  return SpecPipeline(std::move(all), std::move(options));
}

// One actor that makes one edit.
SpecTransformer Actor(SpecPhase phase, ActorKind kind, std::string name,
                      SpecEditor::EditFunction edit) {
  return {.name = name, .phase = phase, .transform = [=](const SpecRequest&, SpecEditor& editor) {
            return editor.Edit({.kind = kind, .name = name}, edit);
          }};
}

SpecTransformer EnvPlugin(std::string name, std::string variable, std::string value) {
  return Actor(SpecPhase::kPlugins, ActorKind::kNri, std::move(name),
               [=](SpecEdit& edit) { return SetEnv(variable, value, edit.spec.json()); });
}

std::vector<std::string> Actors(const SpecJournal& journal) {
  std::vector<std::string> names;
  for (const SpecStep& step : journal.steps()) names.push_back(step.actor.name);
  return names;
}

TEST(SpecPipeline, EachIntentionIsAStepAndNothingElseIs) {
  const absl::StatusOr<SpecResult> result = Pipeline().Run(Request());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(Actors(result->journal),
            (std::vector<std::string>{"bundle", "defaults:root-path", "defaults:mount-sources",
                                      "defaults:cgroups-path"}));
  EXPECT_EQ(result->journal.steps()[0].actor.source_file, "/bundles/c1/config.json");
  EXPECT_EQ(result->spec.RootPath(), "/bundles/c1/rootfs");
  EXPECT_EQ(result->spec.json()["mounts"][1]["source"], "/bundles/c1/data");
  EXPECT_EQ(result->spec.json()["vendorExtension"]["kept"], true);
}

TEST(SpecPipeline, ReplayingTheJournalGivesTheFinalSpec) {
  SpecRequest request = Request();
  request.overrides.args = {{"/bin/true", "x"}};
  request.overrides.env = {"A=2", "B=3"};
  request.overrides.mounts = {
      {.destination = "/data", .type = "tmpfs", .source = "t", .options = {}},
      {.destination = "/new", .type = "tmpfs", .source = "t", .options = {}}};
  const absl::StatusOr<SpecResult> result =
      Pipeline({EnvPlugin("10-a", "P", "1"), EnvPlugin("20-b", "P", "2")}).Run(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->journal.Verify().ok());
  const absl::StatusOr<OciSpec> replayed = result->journal.FinalSpec();
  ASSERT_TRUE(replayed.ok());
  EXPECT_EQ(replayed->Canonical(), result->spec.Canonical());
  EXPECT_EQ(result->spec.Digest(), result->journal.final_digest());
}

TEST(SpecPipeline, TheOriginalIsWhatTheRequestLeft) {
  SpecRequest request = Request();
  request.overrides.env = {"A=2"};
  const absl::StatusOr<SpecResult> result = Pipeline({EnvPlugin("10-a", "P", "1")}).Run(request);
  ASSERT_TRUE(result.ok()) << result.status();
  const absl::StatusOr<OciSpec> original = result->journal.OriginalSpec();
  ASSERT_TRUE(original.ok());
  EXPECT_EQ(original->Env(), (std::vector<std::string>{"PATH=/bin", "A=2"}));
  EXPECT_EQ(result->spec.Env(), (std::vector<std::string>{"PATH=/bin", "A=2", "P=1"}));
}

TEST(SpecPipeline, AFailedEditLeavesNoTrace) {
  const absl::StatusOr<SpecResult> result =
      Pipeline({{.name = "careless",
                 .phase = SpecPhase::kPlugins,
                 .transform =
                     [](const SpecRequest&, SpecEditor& editor) {
                       const std::string before = editor.spec().Digest();
                       absl::Status status = editor.Edit(
                           {.kind = ActorKind::kNri, .name = "10-bad"}, [](SpecEdit& edit) {
                             edit.spec.json()["mounts"].clear();
                             return absl::InternalError("changed my mind");
                           });
                       EXPECT_EQ(status.message(), "changed my mind");
                       EXPECT_EQ(editor.spec().Digest(), before);
                       return absl::OkStatus();
                     }}})
          .Run(Request());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->journal.steps().size(), 4u);
}

TEST(SpecPipeline, AnEditThatMisreadsTheDocumentIsAnErrorAndNoCrash) {
  const absl::StatusOr<SpecResult> result =
      Pipeline({Actor(SpecPhase::kPlugins, ActorKind::kNri, "10-bad", [](SpecEdit& edit) {
        edit.spec.json()["ociVersion"]["a"] = 1;
        return absl::OkStatus();
      })}).Run(Request());
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(SpecPipeline, InvalidUtf8IsRefusedBeforeItIsWritten) {
  SpecRequest request = Request();
  request.overrides.env = {"A=\xff"};
  EXPECT_EQ(Pipeline().Run(request).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(SpecPipeline, EveryViolationIsNamed) {
  SpecRequest request = Request();
  request.overrides.cwd = "relative";
  request.overrides.hostname = "h";
  const absl::Status status = Pipeline().Run(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(GetReason(status), "SPEC_INVALID");
  const std::vector<FieldViolation> violations = GetFieldViolations(status);
  ASSERT_EQ(violations.size(), 2u) << status;
  EXPECT_EQ(violations[0].field, "/hostname");
  EXPECT_EQ(violations[1].field, "/process/cwd");
}

TEST(SpecPipeline, ADeviceThatOverridesTheRequestIsARecordedConflict) {
  SpecRequest request = Request();
  request.overrides.env = {"GPU=mine"};
  const absl::StatusOr<SpecResult> result =
      Pipeline({Actor(SpecPhase::kDevices, ActorKind::kCdi, "v.com/gpu=0", [](SpecEdit& edit) {
        return SetEnv("GPU", "0", edit.spec.json());
      })}).Run(request);
  ASSERT_TRUE(result.ok()) << result.status();
  const SpecStep& step = result->journal.steps().back();
  ASSERT_EQ(step.conflicts.size(), 1u);
  EXPECT_EQ(step.conflicts[0].what, "environment variable GPU");
  EXPECT_EQ(step.conflicts[0].previous_actor, "request");
  EXPECT_EQ(step.conflicts[0].resolution, "replaced");
}

TEST(SpecPipeline, APartAddedToSomebodysMountIsARecordedConflict) {
  const SpecTransformer device =
      Actor(SpecPhase::kDevices, ActorKind::kCdi, "vendor.com/gpu=0", [](SpecEdit& edit) {
        edit.spec.json()["mounts"][1]["options"].push_back("ro");
        edit.spec.json()["mounts"].push_back({{"destination", "/new"}});
        return absl::OkStatus();
      });
  const absl::StatusOr<SpecResult> result = Pipeline({device}).Run(Request());
  ASSERT_TRUE(result.ok()) << result.status();
  const SpecStep& step = result->journal.steps().back();
  ASSERT_EQ(step.conflicts.size(), 1u);
  EXPECT_EQ(step.conflicts[0].pointer, "/mounts/1/options/1");
  EXPECT_EQ(step.conflicts[0].what, "mount /data");
  EXPECT_EQ(step.conflicts[0].previous_actor, "defaults:mount-sources");
  EXPECT_EQ(step.conflicts[0].resolution, "added to");
}

TEST(SpecPipeline, AnEditThatKnowsItsScopeGivesTheSameStep) {
  const auto edit_of = [](bool knows) {
    return Actor(SpecPhase::kDevices, ActorKind::kCdi, "d", [knows](SpecEdit& edit) {
      edit.spec.json()["mounts"].push_back({{"destination", "/new"}});
      edit.spec.json()["hooks"]["prestart"].push_back({{"path", "/bin/true"}});
      if (knows) edit.scope = {.members = {"mounts", "hooks", "annotations"}, .kept_mounts = 2};
      return absl::OkStatus();
    });
  };
  const absl::StatusOr<SpecResult> knows = Pipeline({edit_of(true)}).Run(Request());
  const absl::StatusOr<SpecResult> asks = Pipeline({edit_of(false)}).Run(Request());
  ASSERT_TRUE(knows.ok() && asks.ok()) << knows.status();
  EXPECT_EQ(knows->spec.Canonical(), asks->spec.Canonical());
  EXPECT_TRUE(knows->journal.Verify().ok());
}

TEST(SpecPipeline, AnActorThatMustBeOnRecordIsAStepWithoutAChange) {
  const SpecTransformer device =
      Actor(SpecPhase::kDevices, ActorKind::kCdi, "d", [](SpecEdit& edit) {
        edit.keep_without_change = true;
        return absl::OkStatus();
      });
  const absl::StatusOr<SpecResult> result = Pipeline({device}).Run(Request());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->journal.steps().back().patch, "[]");
  EXPECT_TRUE(result->journal.Verify().ok());
}

TEST(SpecPipeline, APluginMayNotOverrideTheRequestUnlessAllowed) {
  SpecRequest request = Request();
  request.overrides.env = {"MODE=mine"};
  const absl::Status refused =
      Pipeline({EnvPlugin("10-a", "MODE", "theirs")}).Run(request).status();
  EXPECT_EQ(GetReason(refused), "DEVICE_CONFLICT");
  const absl::StatusOr<SpecResult> allowed =
      Pipeline({EnvPlugin("10-a", "MODE", "theirs")}, {.plugins_override_request = true})
          .Run(request);
  ASSERT_TRUE(allowed.ok()) << allowed.status();
  EXPECT_EQ(allowed->spec.EnvValue("MODE"), "theirs");
  EXPECT_EQ(allowed->journal.steps().back().conflicts.size(), 1u);
}

TEST(SpecPipeline, ARefusedPluginLeavesTheEditorAsItWas) {
  SpecRequest request = Request();
  request.overrides.env = {"MODE=mine"};
  SpecTransformer plugins = {
      .name = "plugins",
      .phase = SpecPhase::kPlugins,
      .transform = [](const SpecRequest&, SpecEditor& editor) {
        const std::string before = editor.spec().Digest();
        absl::Status refused =
            editor.Edit({.kind = ActorKind::kNri, .name = "10-a"}, [](SpecEdit& edit) {
              SetEnv("NEW", "1", edit.spec.json()).IgnoreError();
              return SetEnv("MODE", "theirs", edit.spec.json());
            });
        EXPECT_FALSE(refused.ok());
        EXPECT_EQ(editor.spec().Digest(), before);
        return editor.Edit({.kind = ActorKind::kNri, .name = "20-b"},
                           [](SpecEdit& edit) { return SetEnv("OTHER", "1", edit.spec.json()); });
      }};
  const absl::StatusOr<SpecResult> result = Pipeline({plugins}).Run(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->journal.Verify().ok());
  EXPECT_EQ(result->spec.EnvValue("NEW"), std::nullopt);
  EXPECT_EQ(result->spec.EnvValue("OTHER"), "1");
}

TEST(SpecPipeline, AnOldSpecIsUpgradedInAStepOfItsOwn) {
  const absl::StatusOr<SpecResult> result =
      Pipeline().Run(Request(R"({"ociVersion":"0.3.0","platform":{"os":"linux","arch":"amd64"},
        "root":{"path":"/r"},"process":{"cwd":"/","args":["sh"],"capabilities":["CAP_KILL"]},
        "linux":{"devices":null,"seccomp":{"defaultAction":"","architectures":null}}})"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(Actors(result->journal),
            (std::vector<std::string>{"bundle", "strip:nulls", "upgrade:oci-version",
                                      "defaults:cgroups-path"}));
  EXPECT_EQ(result->spec.json()["process"]["capabilities"]["bounding"],
            nlohmann::json::array({"CAP_KILL"}));
  EXPECT_FALSE(result->spec.json()["linux"].contains("seccomp"));
}

TEST(SpecPipeline, AVariableSetTwiceKeepsItsLastValue) {
  const absl::StatusOr<SpecResult> result =
      Pipeline().Run(Request(R"({"ociVersion":"1.0.2","root":{"path":"/r"},
        "process":{"cwd":"/","args":["sh"],"env":["A=1","B=2","A=3"]}})"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->spec.Env(), (std::vector<std::string>{"A=3", "B=2"}));
  EXPECT_EQ(Actors(result->journal).back(), "finalize");
}

TEST(SpecPipeline, IgnoredEditsAreOnRecordEvenIfNothingChanged) {
  const absl::StatusOr<SpecResult> result =
      Pipeline({Actor(SpecPhase::kPlugins, ActorKind::kNri, "10-a", [](SpecEdit& edit) {
        edit.Ignore("/process/env", R"("-X")", "no variable of this name");
        return absl::OkStatus();
      })}).Run(Request());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->journal.steps().back().patch, "[]");
  ASSERT_EQ(result->journal.steps().back().ignored.size(), 1u);
  EXPECT_TRUE(result->journal.Verify().ok());
}

// ---- Blame

TEST(Provenance, NamesTheLastWriterFirst) {
  SpecRequest request = Request();
  request.overrides.env = {"A=2"};
  const absl::StatusOr<SpecResult> result = Pipeline({EnvPlugin("10-a", "P", "1")}).Run(request);
  ASSERT_TRUE(result.ok()) << result.status();
  const absl::StatusOr<Blame> blame = BlamePointer(result->journal, "/process/env/1");
  ASSERT_TRUE(blame.ok());
  EXPECT_EQ(blame->value, R"("A=2")");
  ASSERT_EQ(blame->writers.size(), 2u);
  EXPECT_EQ(blame->writers[0].actor.name, "request");
  EXPECT_EQ(blame->writers[1].actor.name, "bundle");
  const absl::StatusOr<Blame> added = BlamePointer(result->journal, "/process/env/2");
  ASSERT_TRUE(added.ok());
  ASSERT_EQ(added->writers.size(), 1u);
  EXPECT_EQ(added->writers[0].actor.name, "10-a");
}

TEST(Provenance, FollowsAnElementThatOthersPush) {
  const absl::StatusOr<SpecResult> result =
      Pipeline(
          {Actor(
               SpecPhase::kPlugins, ActorKind::kNri, "10-a",
               [](SpecEdit& edit) {
                 nlohmann::json& mounts = edit.spec.json()["mounts"];
                 mounts[1]["options"].push_back("ro");
                 mounts.insert(mounts.begin(), nlohmann::json::object({{"destination", "/first"}}));
                 return absl::OkStatus();
               }),
           Actor(SpecPhase::kPlugins, ActorKind::kNri, "20-b",
                 [](SpecEdit& edit) {
                   nlohmann::json& mounts = edit.spec.json()["mounts"];
                   std::swap(mounts[0], mounts[2]);
                   return absl::OkStatus();
                 })})
          .Run(Request());
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->spec.json()["mounts"][0]["destination"], "/data");
  const absl::StatusOr<Blame> option = BlamePointer(result->journal, "/mounts/0/options/1");
  ASSERT_TRUE(option.ok());
  EXPECT_EQ(option->writers[0].actor.name, "10-a");
  const absl::StatusOr<Blame> first = BlamePointer(result->journal, "/mounts/2/destination");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->value, R"("/first")");
  EXPECT_EQ(first->writers[0].actor.name, "10-a");
}

TEST(Provenance, EveryValueOfTheFinalSpecHasAWriter) {
  const absl::StatusOr<SpecResult> result = Pipeline({EnvPlugin("10-a", "P", "1")}).Run(Request());
  ASSERT_TRUE(result.ok()) << result.status();
  const absl::StatusOr<std::vector<Blame>> blames = BlameAll(result->journal);
  ASSERT_TRUE(blames.ok());
  for (const Blame& blame : *blames) EXPECT_FALSE(blame.writers.empty()) << blame.pointer;
}

TEST(Provenance, AValueThatIsNotThereIsNotFound) {
  const absl::StatusOr<SpecResult> result = Pipeline().Run(Request());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(BlamePointer(result->journal, "/nothing").status().code(), absl::StatusCode::kNotFound);
}

// ---- The blob

TEST(SpecJournal, SurvivesItsBlob) {
  const absl::StatusOr<SpecResult> result =
      Pipeline({EnvPlugin("10-a", "P", "\"\n\x01")}).Run(Request());
  ASSERT_TRUE(result.ok()) << result.status();
  const absl::StatusOr<SpecJournal> parsed = SpecJournal::Parse(result->journal.Serialize());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(*parsed, result->journal);
}

TEST(SpecJournal, ADamagedPatchIsFoundByItsDigest) {
  const absl::StatusOr<SpecResult> result = Pipeline().Run(Request());
  ASSERT_TRUE(result.ok()) << result.status();
  std::string blob = result->journal.Serialize();
  const size_t at = blob.find("PATH=/bin");
  ASSERT_NE(at, std::string::npos);
  blob.replace(at, 9, "PATH=/tmp");
  const absl::StatusOr<SpecJournal> parsed = SpecJournal::Parse(blob);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->Verify().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(parsed->FinalSpec().status().code(), absl::StatusCode::kDataLoss);
}

// ---- Words

std::vector<std::string> ChangesOf(const SpecJournal& journal, size_t step) {
  std::vector<SpecChange> changes;
  EXPECT_TRUE(journal
                  .Replay(
                      [&](const SpecStep& at, const nlohmann::json& operation,
                          const nlohmann::json& before) {
                        if (at.index == step) AppendChanges(operation, before, changes);
                      },
                      [](const SpecStep&, const OciSpec&) { return absl::OkStatus(); })
                  .ok());
  std::vector<std::string> lines;
  for (const SpecChange& change : changes) lines.push_back(change.text);
  return lines;
}

TEST(SpecChanges, SayWhatAPersonWantsToRead) {
  SpecRequest request = Request();
  request.overrides.env = {"A=2"};
  request.overrides.mounts = {
      {.destination = "/x", .type = "", .source = "/y", .options = {"rbind", "ro"}}};
  const absl::StatusOr<SpecResult> result = Pipeline().Run(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(ChangesOf(result->journal, result->journal.steps().size() - 1),
            (std::vector<std::string>{"mount /x added (bind from /y, ro)",
                                      "environment variable A changed: (1) -> (2)"}));
  const std::vector<std::string> bundle = ChangesOf(result->journal, 0);
  EXPECT_NE(std::find(bundle.begin(), bundle.end(), "environment variable PATH added (/bin)"),
            bundle.end());
  EXPECT_NE(std::find(bundle.begin(), bundle.end(), "mount /proc added (proc from proc)"),
            bundle.end());
}

}  // namespace
}  // namespace ocid
