// Random edits by random actors: replaying the journal gives the final document, also after the
// journal was written and read; an edit that fails leaves no trace.
#include <array>
#include <nlohmann/json.hpp>

#include "daemon/spec/spec_editor.h"
#include "daemon/spec/spec_journal.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/random_spec.h"
#include "tests/fuzz/fuzz_input.h"

namespace ocid {
namespace {

using nlohmann::json;

constexpr std::string_view kMembers[] = {"process", "env",  "mounts", "linux",       "devices",
                                         "hooks",   "args", "path",   "destination", "a/b~c"};

json TakeScalar(FuzzInput& input) {
  switch (input.Below(6)) {
    case 0:
      return input.Take<int64_t>();
    case 1:
      return input.Below(3);
    case 2:
      return nullptr;
    case 3:
      return "V" + std::to_string(input.Below(4)) + "=" + std::to_string(input.Below(4));
    case 4:
      return json{{"destination", "/" + std::to_string(input.Below(4))},
                  {"path", "/dev/" + std::to_string(input.Below(4))}};
    default:
      return std::string(input.Bytes(input.Below(8)));
  }
}

// Walks a few steps down, and sets, adds or removes what it finds there.
void EditOnce(FuzzInput& input, json& document) {
  json* at = &document;
  for (uint32_t depth = 1 + input.Below(4); depth > 0; --depth) {
    if (at->is_array() && !at->empty()) {
      at = &(*at)[input.Below(static_cast<uint32_t>(at->size()))];
    } else if (at->is_object() || at->is_null()) {
      at = &(*at)[std::string(kMembers[input.Below(std::size(kMembers))])];
    }
  }
  switch (input.Below(4)) {
    case 0:
      *at = TakeScalar(input);
      break;
    case 1:
      if (at->is_array() && !at->empty()) {
        at->erase(input.Below(static_cast<uint32_t>(at->size())));
      } else if (at->is_object() && !at->empty()) {
        at->erase(at->begin());
      }
      break;
    case 2:
      if (!at->is_array()) *at = json::array();
      at->insert(at->begin() + input.Below(static_cast<uint32_t>(at->size()) + 1),
                 TakeScalar(input));
      break;
    default:
      *at = RandomSpec(input.Take<uint16_t>())
                .Make()[std::string(kMembers[input.Below(std::size(kMembers))])];
      break;
  }
}

SpecEditor::Result MakeSpec(FuzzInput& input) {
  SpecEditor editor(
      SpecJournal("fuzz", "2024-01-01T00:00:00Z"),
      {.plugins_override_request = input.Below(2) == 0, .clock = [] { return absl::UnixEpoch(); }});
  int phase = 0;
  for (int edits = 0; edits < 24 && !input.empty(); ++edits) {
    if (phase < static_cast<int>(SpecPhase::kFinal) && input.Below(3) == 0) ++phase;
    editor.EnterPhase(static_cast<SpecPhase>(phase));
    const bool fails = input.Below(8) == 0;
    const std::string before = editor.spec().Canonical();
    const absl::Status status =
        editor.Edit({.kind = static_cast<ActorKind>(input.Below(9)), .name = "actor"},
                    [&](SpecEdit& edit) -> absl::Status {
                      for (uint32_t n = 1 + input.Below(3); n > 0; --n) {
                        EditOnce(input, edit.spec.json());
                      }
                      if (!edit.spec.json().is_object()) edit.spec.json() = json::object();
                      return fails ? absl::AbortedError("as planned") : absl::OkStatus();
                    });
    FUZZ_CHECK(!fails || !status.ok(), "an edit that failed was taken");
    FUZZ_CHECK(status.ok() || editor.spec().Canonical() == before, before);
  }
  return std::move(editor).Finish();
}

}  // namespace
}  // namespace ocid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ocid::FuzzInput input(data, size);
  const ocid::SpecEditor::Result result = ocid::MakeSpec(input);
  const std::string blob = result.journal.Serialize();
  const absl::Status verified = result.journal.Verify();
  FUZZ_CHECK(verified.ok(), blob + "\n" + verified.ToString());
  const absl::StatusOr<ocid::OciSpec> final_spec = result.journal.FinalSpec();
  FUZZ_CHECK(final_spec.ok(), blob + "\n" + final_spec.status().ToString());
  FUZZ_CHECK(final_spec->Canonical() == result.spec.Canonical(),
             blob + "\n" + final_spec->Canonical() + "\n" + result.spec.Canonical());
  const absl::StatusOr<ocid::OciSpec> original = result.journal.OriginalSpec();
  FUZZ_CHECK(original.ok(), blob + "\n" + original.status().ToString());

  const absl::StatusOr<ocid::SpecJournal> read = ocid::SpecJournal::Parse(blob);
  // A string that is not UTF-8 cannot be written to JSON and read again: the final phase refuses
  // such a document, see oci_validate.h.
  if (read.ok()) FUZZ_CHECK(*read == result.journal, blob);
  return 0;
}
