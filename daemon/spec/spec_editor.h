// SpecEditor: the only way to change a spec while it is made; turns an edit into a step of the
// journal, or into nothing.
//
// A transformer changes the document as it likes; the editor finds out what changed, writes the
// minimal patch, and notes which values of other actors it overrode. An edit that fails leaves
// document and journal as they were.
//
//   editor.Edit({.kind = ActorKind::kCdi, .name = "vendor.com/gpu=0"},
//               [&](SpecEdit& edit) -> absl::Status {
//                 SetEnv("GPU", "0", edit.spec.json());
//                 return absl::OkStatus();
//               });
//
// Who may override whom: until the request's phase is over, later actors override earlier ones;
// that is what they are for. From then on each value that an actor replaces or removes, and each part
// that it adds to somebody's mount, device or hook, is recorded as a conflict with its previous
// writer; deploy/docs/spec-journal.md has the policy for users. Devices may do so. Plugins may too,
// except for values that the request set: that fails with FAILED_PRECONDITION, reason
// DEVICE_CONFLICT, unless Options::plugins_override_request is set. Finalize only normalises and
// conflicts with nobody.
//
// Not thread-safe: one editor makes one spec. Nothing blocks beyond what the edit itself does.
#ifndef OCID_DAEMON_SPEC_SPEC_EDITOR_H_
#define OCID_DAEMON_SPEC_SPEC_EDITOR_H_

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/spec/digest_cache.h"
#include "daemon/spec/provenance.h"
#include "daemon/spec/spec_journal.h"
#include "runtime/oci/oci_spec.h"

namespace ocid {

// What an edit function gets: the document to change, and a place for what it could not do.
struct SpecEdit {
  OciSpec& spec;
  std::vector<IgnoredEdit> ignored;
  // A step even if nothing changes: who was asked for, or asked, is on record.
  bool keep_without_change = false;
  std::string requested_json = {};  // SpecStep::requested_json
  // Where the document can have changed, from who knows: members of the root, and how many elements
  // at the front of /mounts are as they were. What is not named is not looked at, and changes there
  // are lost. Not set: everything is compared, which for a spec of 500 mounts is most of a step.
  struct Scope {
    std::vector<std::string_view> members;
    size_t kept_mounts = 0;
  };
  std::optional<Scope> scope = std::nullopt;

  void Ignore(std::string_view pointer, std::string_view value_json, std::string_view reason) {
    ignored.push_back({std::string(pointer), std::string(value_json), std::string(reason)});
  }
};

class SpecEditor {
 public:
  struct Options {
    bool plugins_override_request = false;
    std::function<absl::Time()> clock = absl::Now;
  };

  SpecEditor(SpecJournal journal, Options options);
  ~SpecEditor();
  SpecEditor(const SpecEditor&) = delete;
  SpecEditor& operator=(const SpecEditor&) = delete;

  const OciSpec& spec() const { return shadow_; }
  const SpecJournal& journal() const { return journal_; }

  // Who wrote the value at `pointer`, or a part of it, last; null if nobody did.
  const SpecActor* LastWriter(std::string_view pointer) const;

  // The phase of the steps to come. Leaving kRequest marks the original spec.
  void EnterPhase(SpecPhase phase);

  // Runs `edit` on the document and records what it did. Returns its error, and then nothing has
  // happened. `edit` must not keep references into the document.
  using EditFunction = std::function<absl::Status(SpecEdit&)>;
  absl::Status Edit(SpecActor actor, const EditFunction& edit);

  struct Result {
    OciSpec spec;
    SpecJournal journal;
  };
  Result Finish() &&;

 private:
  // Brings shadow and provenance to what the journal says, and the document back to the shadow.
  void Restore();
  // Takes the values out of the patch.
  absl::Status ApplyToShadow(nlohmann::json& patch, SpecStep& step);
  std::optional<SpecConflict> FindConflict(const nlohmann::json& operation) const;

  const Options options_;
  SpecJournal journal_;
  SpecPhase phase_ = SpecPhase::kBase;
  OciSpec working_;  // what edits change; equal to shadow_ between them
  OciSpec shadow_;   // the same before the edit; patched after it, so that neither is ever copied
  Provenance provenance_;
  DigestCache digests_;
  std::string digest_;  // of shadow_
};

}  // namespace ocid

#endif  // OCID_DAEMON_SPEC_SPEC_EDITOR_H_
