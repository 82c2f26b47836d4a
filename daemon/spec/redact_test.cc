#include "daemon/spec/redact.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/spec/spec_editor.h"
#include "gtest/gtest.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

SpecJournal Journal() {
  SpecEditor editor(SpecJournal("c1", "2026-01-02T03:04:05Z"), {});
  const auto edit = [&editor](const Json& document) {
    ASSERT_TRUE(editor
                    .Edit({.kind = ActorKind::kBundle, .name = "a"},
                          [&](SpecEdit& context) {
                            context.spec.json() = document;
                            return absl::OkStatus();
                          })
                    .ok());
  };
  edit(Json::parse(R"({"process":{"env":["A=secret1"]},
                       "hooks":{"poststop":[{"path":"/h","env":["B=secret2"]}]}})"));
  edit(Json::parse(R"({"process":{"env":["A=secret3","C=secret4"]},
                       "hooks":{"poststop":[{"path":"/h","env":["B=secret5"]}]}})"));
  return std::move(editor).Finish().journal;
}

TEST(Redact, NoValueOfAVariableIsLeftAnywhere) {
  const absl::StatusOr<SpecJournal> redacted = RedactJournal(Journal());
  ASSERT_TRUE(redacted.ok()) << redacted.status();
  EXPECT_EQ(redacted->Serialize().find("secret"), std::string::npos);
  EXPECT_NE(redacted->Serialize().find("C=<redacted>"), std::string::npos);
}

TEST(Redact, DigestsStayAndPatchesStillApply) {
  const SpecJournal journal = Journal();
  const absl::StatusOr<SpecJournal> redacted = RedactJournal(journal);
  ASSERT_TRUE(redacted.ok());
  EXPECT_EQ(redacted->final_digest(), journal.final_digest());
  EXPECT_EQ(redacted->original_steps(), journal.original_steps());
  int steps = 0;
  EXPECT_TRUE(redacted
                  ->Replay(nullptr, [&steps](const SpecStep&, const OciSpec&) {
                    ++steps;
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_EQ(steps, 2);
}

TEST(Redact, ASpecKeepsTheNames) {
  const OciSpec spec(Json::parse(R"({"process":{"env":["A=1","NOVALUE"]},"mounts":[]})"));
  EXPECT_EQ(RedactSpec(spec).Env(),
            (std::vector<std::string>{"A=<redacted>", "NOVALUE=<redacted>"}));
}

}  // namespace
}  // namespace ocid
