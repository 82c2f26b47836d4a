#include "client/cli/spec_text.h"

#include <string>

#include "gtest/gtest.h"

namespace ocid::cli {
namespace {

void AddStep(v1::OciSpecHistory& history, v1::SpecStep::ActorKind kind, const std::string& actor,
             const std::string& patch) {
  v1::SpecStep& step = *history.add_steps();
  step.set_index(static_cast<uint32_t>(history.steps_size() - 1));
  step.set_actor_kind(kind);
  step.set_actor(actor);
  step.set_json_patch(patch);
}

v1::OciSpecHistory Sample() {
  v1::OciSpecHistory history;
  AddStep(history, v1::SpecStep::BUNDLE, "config.json",
          R"([{"op":"add","path":"","value":{"hostname":"a","env":["A=1"]}}])");
  AddStep(history, v1::SpecStep::CDI, "vendor.com/gpu=0",
          R"([{"op":"add","path":"/env/-","value":"GPU=0"}])");
  history.mutable_steps(1)->set_source_file("/etc/cdi/vendor.yaml");
  AddStep(history, v1::SpecStep::CDI, "vendor.com/gpu=0",
          R"([{"op":"replace","path":"/hostname","value":"b"}])");
  history.mutable_steps(2)->set_source_file("/etc/cdi/vendor.yaml");
  AddStep(history, v1::SpecStep::NRI, "10-plugin", R"([{"op":"remove","path":"/env/0"}])");
  v1::IgnoredEdit& ignored = *history.mutable_steps(3)->add_ignored();
  ignored.set_pointer("/root");
  ignored.set_reason("may not");
  return history;
}

TEST(FormatSpecDiff, GroupsDevicesAndPluginsByActor) {
  const auto text = FormatSpecDiff(Sample(), {});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text,
            "cdi vendor.com/gpu=0  /etc/cdi/vendor.yaml\n"
            "  + /env/-  \"GPU=0\"\n"
            "  ~ /hostname  \"a\" -> \"b\"\n"
            "nri 10-plugin\n"
            "  - /env/0  \"A=1\"\n"
            "  ! /root  ignored: may not\n");
}

TEST(FormatSpecDiff, AllStepsStartWithTheBundle) {
  const auto text = FormatSpecDiff(Sample(), {.color = false, .all_steps = true});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_TRUE(text->starts_with("bundle config.json\n")) << *text;
}

TEST(FormatSpecDiff, ALongValueIsALineForEachMemberAndALongListItsFirstOnes) {
  nlohmann::json names = nlohmann::json::array();
  for (int i = 0; i < 300; ++i) names.push_back("call_" + std::to_string(i));
  const nlohmann::json seccomp = {{"defaultAction", "SCMP_ACT_ERRNO"},
                                  {"syscalls", {{{"action", "SCMP_ACT_ALLOW"}, {"names", names}}}}};
  v1::OciSpecHistory history;
  AddStep(history, v1::SpecStep::NRI, "10-plugin",
          nlohmann::json({{{"op", "add"}, {"path", ""}, {"value", {{"a/b", seccomp}}}}}).dump());
  const auto text = FormatSpecDiff(history, {});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text,
            "nri 10-plugin\n"
            "  + /a~1b/defaultAction  \"SCMP_ACT_ERRNO\"\n"
            "  + /a~1b/syscalls/0/action  \"SCMP_ACT_ALLOW\"\n"
            "  + /a~1b/syscalls/0/names  [\"call_0\",\"call_1\",\"call_2\",\"call_3\",\"call_4\","
            "\"call_5\",\"call_6\",\"call_7\",\"call_8\",\"call_9\",\"call_10\",\"call_11\","
            "\"call_12\",\"call_13\",\"call_14\",\"call_15\",\"call_16\", and 283 more]\n");
}

TEST(FormatSpecDiff, ColorIsAskedFor) {
  EXPECT_EQ(FormatSpecDiff(Sample(), {}).value().find('\x1b'), std::string::npos);
  EXPECT_NE(FormatSpecDiff(Sample(), {.color = true, .all_steps = false}).value().find("\x1b[32m"),
            std::string::npos);
}

TEST(FormatSpecDiff, APatchThatDoesNotApplyIsAnError) {
  v1::OciSpecHistory history = Sample();
  history.mutable_steps(3)->set_json_patch(R"([{"op":"remove","path":"/gone"}])");
  EXPECT_FALSE(FormatSpecDiff(history, {}).ok());
}

TEST(HistoryJson, FullHasDocumentsAndSteps) {
  v1::OciSpecHistory history = Sample();
  history.mutable_original()->set_json(R"({"hostname":"a"})");
  history.mutable_final()->set_json(R"({"hostname":"b"})");
  history.mutable_steps(1)->mutable_duration()->set_nanos(2'500'000);
  const auto json = HistoryJson(history, v1::SPEC_VIEW_FULL);
  EXPECT_EQ(json["original"]["hostname"], "a");
  EXPECT_EQ(json["final"]["hostname"], "b");
  ASSERT_EQ(json["steps"].size(), 4u);
  for (const char* name : {"index", "actor", "actor_kind", "actor_version", "source_file",
                           "source_sha256", "time", "duration_ms", "json_patch", "changes",
                           "ignored", "conflicts", "digest_before", "digest_after"}) {
    EXPECT_TRUE(json["steps"][1].contains(name)) << name;
  }
  EXPECT_EQ(json["steps"][1]["duration_ms"], 2.5);
  EXPECT_EQ(json["steps"][1]["json_patch"][0]["value"], "GPU=0");
}

TEST(HistoryJson, FinalIsTheDocumentItself) {
  v1::OciSpecHistory history;
  history.mutable_final()->set_json(R"({"hostname":"b"})");
  EXPECT_EQ(HistoryJson(history, v1::SPEC_VIEW_FINAL).dump(), R"({"hostname":"b"})");
}

TEST(FormatFinalChanges, GroupsByWhoWroteThem) {
  v1::OciSpecHistory to;
  AddStep(to, v1::SpecStep::BUNDLE, "config.json",
          R"([{"op":"add","path":"","value":{"hostname":"a","env":["GPU=0"]}}])");
  AddStep(to, v1::SpecStep::CDI, "vendor.com/gpu=1",
          R"([{"op":"add","path":"/gpu","value":true}])");
  v1::OciSpecHistory from;
  AddStep(from, v1::SpecStep::BUNDLE, "config.json",
          R"([{"op":"add","path":"","value":{"hostname":"b","env":["GPU=0"],"old":1}}])");
  nlohmann::json patch;
  const auto changes = CompareFinals(from, to, patch);
  ASSERT_TRUE(changes.ok()) << changes.status();
  EXPECT_EQ(FormatFinalChanges(from, to, *changes, false),
            "bundle config.json\n"
            "  - /old  1\n"
            "bundle config.json\n"
            "  ~ /hostname  \"b\" -> \"a\"\n"
            "cdi vendor.com/gpu=1\n"
            "  + /gpu  true\n");
  const auto json = FinalChangesJson(from, to, *changes, patch);
  EXPECT_EQ(json["changes"].size(), 3u);
  EXPECT_EQ(json["json_patch"], patch);
}

}  // namespace
}  // namespace ocid::cli
