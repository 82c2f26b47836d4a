#include "client/spec_history.h"

#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace ocid {
namespace {

using nlohmann::json;

// A history as an honest daemon would send it: documents and digests follow from the patches. The
// original is the document before the step `original_before`.
v1::OciSpecHistory MakeHistory(std::initializer_list<std::pair<const char*, const char*>> steps,
                               int original_before) {
  v1::OciSpecHistory history;
  json document = json::object();
  std::string digest = Sha256Digest(CanonicalJson(document));
  const auto set = [&](v1::SpecDocument& out) {
    out.set_json(CanonicalJson(document));
    out.set_sha256(digest);
  };
  for (const auto& [actor, patch] : steps) {
    if (history.steps_size() == original_before) set(*history.mutable_original());
    v1::SpecStep& step = *history.add_steps();
    step.set_index(history.steps_size() - 1);
    step.set_actor(actor);
    step.set_json_patch(patch);
    step.set_digest_before(digest);
    document = document.patch(json::parse(patch));
    digest = Sha256Digest(CanonicalJson(document));
    step.set_digest_after(digest);
  }
  set(*history.mutable_final());
  history.set_executor_sha256(digest);
  return history;
}

v1::OciSpecHistory Sample() {
  return MakeHistory(
      {{"bundle",
        R"([{"op":"add","path":"","value":{"hostname":"a","env":["A=1","B=2"],"m":{}}}])"},
       {"request", R"([{"op":"replace","path":"/hostname","value":"b"}])"},
       {"gpu=0", R"([{"op":"add","path":"/env/0","value":"GPU=0"}])"},
       {"10-plugin", R"([{"op":"remove","path":"/env/1"},{"op":"add","path":"/env/-","value":"C=3"},
                         {"op":"add","path":"/m/x~1y","value":7}])"}},
      2);
}

bool AllPass(const std::vector<SpecCheck>& checks) {
  for (const SpecCheck& check : checks) {
    if (!check.passed) return false;
  }
  return !checks.empty();
}

TEST(Sha256Digest, IsTheDigestThatSha256sumPrints) {
  EXPECT_EQ(Sha256Digest("{}"),
            "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
}

TEST(CanonicalJson, SortsMembersAndLeavesOutWhiteSpace) {
  EXPECT_EQ(CanonicalJson(json::parse(R"({ "b": 1, "a": [ true, "x" ] })")),
            R"({"a":[true,"x"],"b":1})");
}

TEST(VerifyHistory, AnHonestHistoryPassesEveryCheck) {
  for (const SpecCheck& check : VerifyHistory(Sample())) {
    EXPECT_TRUE(check.passed) << check.subject << ": " << check.detail;
  }
}

TEST(VerifyHistory, AChangedPatchFailsItsStep) {
  v1::OciSpecHistory history = Sample();
  history.mutable_steps(1)->set_json_patch(R"([{"op":"replace","path":"/hostname","value":"c"}])");
  EXPECT_FALSE(AllPass(VerifyHistory(history)));
}

TEST(VerifyHistory, APatchThatDoesNotApplyFails) {
  v1::OciSpecHistory history = Sample();
  history.mutable_steps(1)->set_json_patch(R"([{"op":"remove","path":"/nowhere"}])");
  EXPECT_FALSE(AllPass(VerifyHistory(history)));
}

TEST(VerifyHistory, AnotherFinalDocumentFails) {
  v1::OciSpecHistory history = Sample();
  history.mutable_final()->set_json("{}");
  EXPECT_FALSE(AllPass(VerifyHistory(history)));
  history.mutable_final()->set_sha256(Sha256Digest("{}"));
  EXPECT_FALSE(AllPass(VerifyHistory(history)));
}

TEST(VerifyHistory, AnOriginalThatTheReplayNeverPassesFails) {
  v1::OciSpecHistory history = Sample();
  history.mutable_original()->set_json(R"({"hostname":"x"})");
  history.mutable_original()->set_sha256(Sha256Digest(R"({"hostname":"x"})"));
  EXPECT_FALSE(AllPass(VerifyHistory(history)));
}

TEST(VerifyHistory, AnExecutorThatReadSomethingElseFails) {
  v1::OciSpecHistory history = Sample();
  history.set_executor_sha256(Sha256Digest("{}"));
  EXPECT_FALSE(AllPass(VerifyHistory(history)));
}

TEST(VerifyHistory, ARedactedHistoryProvesNothing) {
  v1::OciSpecHistory history = Sample();
  history.set_redacted(true);
  EXPECT_FALSE(AllPass(VerifyHistory(history)));
}

TEST(BlameHistory, EachLeafNamesTheLastStepThatWroteIt) {
  const auto lines = BlameHistory(Sample(), "");
  ASSERT_TRUE(lines.ok()) << lines.status();
  std::map<std::string, std::pair<json, int>> by_pointer;
  for (const BlameLine& line : *lines) by_pointer[line.pointer] = {line.value, line.step};
  const std::map<std::string, std::pair<json, int>> want = {
      {"/env/0", {"GPU=0", 2}}, {"/env/1", {"B=2", 0}}, {"/env/2", {"C=3", 3}},
      {"/hostname", {"b", 1}},  {"/m/x~1y", {7, 3}},
  };
  EXPECT_EQ(by_pointer, want);
}

TEST(BlameHistory, AMovedValueKeepsItsWriter) {
  const v1::OciSpecHistory history =
      MakeHistory({{"one", R"([{"op":"add","path":"/a","value":[]}])"},
                   {"two", R"([{"op":"add","path":"/a/-","value":"x"}])"},
                   {"three", R"([{"op":"move","from":"/a/0","path":"/b"}])"}},
                  0);
  const auto lines = BlameHistory(history, "/b");
  ASSERT_TRUE(lines.ok()) << lines.status();
  ASSERT_EQ(lines->size(), 1u);
  EXPECT_EQ(lines->front().step, 1);
}

TEST(BlameHistory, APointerThatLeadsNowhereIsNotFound) {
  EXPECT_EQ(BlameHistory(Sample(), "/nothing").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(BlameHistory(Sample(), "no-slash").status().code(), absl::StatusCode::kNotFound);
}

TEST(DescribeStep, NamesOldAndNewValues) {
  const v1::OciSpecHistory history = Sample();
  const auto documents = ReplayHistory(history);
  ASSERT_TRUE(documents.ok()) << documents.status();
  ASSERT_EQ(documents->size(), 5u);
  const auto changes = DescribeStep((*documents)[1], history.steps(1));
  ASSERT_TRUE(changes.ok()) << changes.status();
  ASSERT_EQ(changes->size(), 1u);
  EXPECT_EQ(changes->front().kind, SpecChange::Kind::kReplaced);
  EXPECT_EQ(changes->front().before, "a");
  EXPECT_EQ(changes->front().after, "b");
}

TEST(DescribeStep, AddingAMemberThatExistsReplacesIt) {
  v1::SpecStep step;
  step.set_json_patch(R"([{"op":"add","path":"/a","value":2}])");
  const auto changes = DescribeStep(json{{"a", 1}}, step);
  ASSERT_TRUE(changes.ok()) << changes.status();
  EXPECT_EQ(changes->front().kind, SpecChange::Kind::kReplaced);
}

TEST(BlameHistory, NamesThoseWhoWroteThereBefore) {
  const auto lines = BlameHistory(Sample(), "/hostname");
  ASSERT_TRUE(lines.ok()) << lines.status();
  ASSERT_EQ(lines->size(), 1u);
  EXPECT_EQ((*lines)[0].step, 1);
  EXPECT_EQ((*lines)[0].before, (std::vector<int>{0}));
}

TEST(BlameHistory, APartOfWhatWasReplacedHasThePastOfItsPlace) {
  const v1::OciSpecHistory history = MakeHistory(
      {{"bundle", R"([{"op":"add","path":"/a","value":{"x":1}}])"},
       {"request", R"([{"op":"replace","path":"/a","value":{"x":2,"y":3}}])"}},
      1);
  const auto lines = BlameHistory(history, "/a");
  ASSERT_TRUE(lines.ok()) << lines.status();
  ASSERT_EQ(lines->size(), 2u);
  EXPECT_EQ((*lines)[0].before, (std::vector<int>{0}));
  EXPECT_EQ((*lines)[1].pointer, "/a/y");
  EXPECT_EQ((*lines)[1].before, (std::vector<int>{0}));
}

TEST(CompareFinals, NamesWhoWroteEachDifference) {
  const v1::OciSpecHistory from = Sample();
  const v1::OciSpecHistory to = MakeHistory(
      {{"bundle",
        R"([{"op":"add","path":"","value":{"hostname":"a","env":["A=1","B=2"],"m":{}}}])"},
       {"gpu=1", R"([{"op":"add","path":"/env/0","value":"GPU=1"}])"}},
      1);
  json patch;
  const auto changes = CompareFinals(from, to, patch);
  ASSERT_TRUE(changes.ok()) << changes.status();
  EXPECT_EQ(json::parse(from.final().json()).patch(patch), json::parse(to.final().json()));
  std::map<std::string, int> writers;
  for (const FinalChange& change : *changes) writers[change.change.pointer] = change.step;
  EXPECT_EQ(writers.at("/env/0"), 1);       // by "gpu=1" of `to`
  EXPECT_EQ(writers.at("/m/x~1y"), 3);      // removed: by "10-plugin" of `from`
  EXPECT_EQ(writers.at("/hostname"), 0);    // by the bundle of `to`
}

TEST(CompareFinals, EqualSpecsHaveNoDifference) {
  json patch;
  const auto changes = CompareFinals(Sample(), Sample(), patch);
  ASSERT_TRUE(changes.ok()) << changes.status();
  EXPECT_TRUE(changes->empty());
  EXPECT_EQ(patch, json::array());
}

}  // namespace
}  // namespace ocid
