#include "daemon/spec/spec_journal.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "daemon/spec/provenance.h"
#include "daemon/spec/redact.h"
#include "daemon/spec/spec_changes.h"
#include "daemon/spec/spec_editor.h"
#include "gtest/gtest.h"
#include "runtime/oci/random_spec.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

// A journal of random edits; each document is wholly another one, or differs from it in one member.
SpecEditor::Result RandomHistory(uint32_t seed) {
  RandomSpec random(seed);
  std::mt19937 choice(seed);
  SpecEditor editor(SpecJournal("c1", "2026-01-02T03:04:05Z"), {});
  for (int step = 0; step < 6; ++step) {
    if (step == 3) editor.EnterPhase(SpecPhase::kDevices);
    Json next = random.Make();
    if (choice() % 2 == 0) {
      Json mixed = editor.spec().json();
      for (const char* member : {"mounts", "linux", "process", "hooks"}) {
        if (choice() % 3 == 0 && next.contains(member)) mixed[member] = next[member];
      }
      next = std::move(mixed);
    }
    EXPECT_TRUE(editor
                    .Edit({.kind = ActorKind::kCdi, .name = std::to_string(step)},
                          [&next](SpecEdit& edit) {
                            edit.spec.json() = next;
                            return absl::OkStatus();
                          })
                    .ok());
    EXPECT_EQ(editor.spec().Digest(), OciSpec(next).Digest());
    EXPECT_EQ(editor.journal().final_digest(), editor.spec().Digest()) << "seed " << seed;
  }
  return std::move(editor).Finish();
}

TEST(SpecJournalProperty, EveryHistoryReplaysDigestByDigest) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    const SpecEditor::Result result = RandomHistory(seed);
    ASSERT_TRUE(result.journal.Verify().ok()) << "seed " << seed;
    const absl::StatusOr<OciSpec> final_spec = result.journal.FinalSpec();
    ASSERT_TRUE(final_spec.ok());
    EXPECT_EQ(final_spec->Canonical(), result.spec.Canonical());
  }
}

TEST(SpecJournalProperty, EveryHistorySurvivesItsBlob) {
  for (uint32_t seed = 0; seed < 100; ++seed) {
    const SpecJournal journal = RandomHistory(seed).journal;
    const absl::StatusOr<SpecJournal> parsed = SpecJournal::Parse(journal.Serialize());
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    ASSERT_EQ(parsed->Serialize(), journal.Serialize());
    ASSERT_EQ(parsed->original_steps(), journal.original_steps());
  }
}

TEST(SpecJournalProperty, EveryValueHasAWriterAndEveryPatchHasWords) {
  for (uint32_t seed = 0; seed < 100; ++seed) {
    const SpecJournal journal = RandomHistory(seed).journal;
    const absl::StatusOr<std::vector<Blame>> blames = BlameAll(journal);
    ASSERT_TRUE(blames.ok()) << blames.status();
    for (const Blame& blame : *blames) {
      ASSERT_FALSE(blame.writers.empty()) << "seed " << seed << " " << blame.pointer;
    }
    size_t operations = 0;
    std::vector<SpecChange> changes;
    EXPECT_TRUE(journal
                    .Replay(
                        [&](const SpecStep&, const Json& operation, const Json& before) {
                          ++operations;
                          AppendChanges(operation, before, changes);
                        },
                        [](const SpecStep&, const OciSpec&) { return absl::OkStatus(); })
                    .ok());
    EXPECT_GE(changes.size(), operations) << "seed " << seed;
    EXPECT_TRUE(RedactJournal(journal).ok());
  }
}

// Any byte of a blob may be damaged: reading it must fail, or give a journal, but never more.
TEST(SpecJournalProperty, ADamagedBlobIsAnErrorAndNoCrash) {
  const std::string blob = RandomHistory(1).journal.Serialize();
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = blob;
    for (int k = 0; k < 3; ++k) damaged[random() % damaged.size()] = "\"{}[],:0a/~"[random() % 11];
    const absl::StatusOr<SpecJournal> journal = SpecJournal::Parse(damaged);
    if (!journal.ok()) continue;
    journal->Verify().IgnoreError();
    BlameAll(*journal).status().IgnoreError();
    RedactJournal(*journal).status().IgnoreError();
  }
}

TEST(SpecJournal, RefusesABlobOfAnotherSchema) {
  std::string blob = SpecJournal("c", "t").Serialize();
  EXPECT_TRUE(SpecJournal::Parse(blob).ok());
  blob.replace(blob.find(":1"), 2, ":2");
  EXPECT_EQ(SpecJournal::Parse(blob).status().code(), absl::StatusCode::kDataLoss);
}

TEST(SpecJournal, AnEmptyJournalIsTheEmptyDocument) {
  const SpecJournal journal("c", "t");
  EXPECT_EQ(journal.FinalSpec()->Canonical(), "{}");
  EXPECT_EQ(journal.final_digest(), OciSpec().Digest());
  EXPECT_EQ(journal.AfterStep(1).status().code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace ocid
