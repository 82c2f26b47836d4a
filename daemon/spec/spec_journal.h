// SpecJournal: how one generation of a container's OCI spec came to be.
//
// The journal starts from the empty document {}. Each step holds what one actor did to the spec as
// an RFC 6902 patch, with the digests of the document before and after, so that
//   - applying all patches in order gives the final spec, byte for byte in canonical form,
//   - every value of the final spec has a writer (provenance.h), and
//   - what an actor asked for in vain, or overrode, is on record.
// The *original* spec is the document before the first device or plugin: what bundle, defaults and
// request made. Steps are immutable once written.
//
// A value; thread-compatible; nothing blocks. Serialised it holds environment values, which may be
// secrets: files with it are 0600, and views for others go through Redact (redact.h).
//
// The blob, as Serialize writes and Parse reads it, is one JSON object:
//   {"schema":1,"container_id":..,"created":..,"original_steps":N,"steps":[{"phase":..,
//    "actor_kind":..,"actor":..,"actor_version":..,"source_file":..,"source_sha256":..,
//    "time_unix_ns":..,"duration_ns":..,"patch":[..],"ignored":[..],"conflicts":[..],
//    "digest_before":..,"digest_after":..},..]}
// and, where there is such a thing, "on_behalf_of" and "requested" in a step.
#ifndef OCID_DAEMON_SPEC_SPEC_JOURNAL_H_
#define OCID_DAEMON_SPEC_SPEC_JOURNAL_H_

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/oci/json_text.h"
#include "runtime/oci/oci_spec.h"

namespace ocid {

// In the order in which the pipeline runs them.
enum class SpecPhase { kBase, kDefaults, kRequest, kDevices, kPlugins, kFinal };

enum class ActorKind {
  kBundle,   // config.json of the bundle
  kImage,    // configuration of an image
  kUpgrade,  // an old document brought to today's form
  kStrip,    // something taken out because it may not stand where it stood
  kDefault,  // the daemon, where nobody said anything; actor is "defaults:<what>"
  kRequest,  // the caller of CreateContainer
  kCdi,      // a CDI device, "<vendor>/<class>=<name>", or its file's own edits, "<vendor>/<class>"
  kNri,      // an NRI plugin; actor is "NN-name"
  kFinalize,  // normalisation
};

// "base", "defaults", ...; "bundle", "cdi", ...: stable, part of the blob.
std::string_view SpecPhaseName(SpecPhase phase);
std::string_view ActorKindName(ActorKind kind);

// Something an actor asked for that did not happen.
struct IgnoredEdit {
  std::string pointer;         // where it would have been; may be empty
  std::string requested_json;  // what was asked for, as JSON text; may be empty
  std::string reason;

  friend bool operator==(const IgnoredEdit&, const IgnoredEdit&) = default;
};

// Something an actor replaced or removed that another had written.
struct SpecConflict {
  std::string pointer;  // in the document before the step
  std::string what;     // "environment variable FOO"
  size_t previous_step = 0;
  std::string previous_actor;
  std::string resolution;  // "replaced", "removed", or "added to" where a part was added

  friend bool operator==(const SpecConflict&, const SpecConflict&) = default;
};

struct SpecActor {
  ActorKind kind = ActorKind::kBundle;
  std::string name = {};
  std::string version = {};        // empty if it has none
  std::string source_file = {};    // empty if there is none
  std::string source_sha256 = {};  // "sha256:<hex>" of that file as it was used
  std::string on_behalf_of = {};   // the plugin that asked for this device; empty: nobody's

  friend bool operator==(const SpecActor&, const SpecActor&) = default;
};

struct SpecStep {
  size_t index = 0;
  SpecPhase phase = SpecPhase::kBase;
  SpecActor actor;
  absl::Time time;
  absl::Duration duration;
  std::string patch;  // RFC 6902, compact JSON text
  // What the actor asked for in words of its own, as JSON text: a plugin's answer. Empty for actors that
  // ask in no other form than the patch.
  std::string requested_json;
  std::vector<IgnoredEdit> ignored;
  std::vector<SpecConflict> conflicts;
  std::string digest_before;
  std::string digest_after;

  friend bool operator==(const SpecStep&, const SpecStep&) = default;
};

class SpecJournal {
 public:
  SpecJournal() = default;
  SpecJournal(std::string container_id, std::string created)
      : container_id_(std::move(container_id)), created_(std::move(created)) {}

  // Within kBlobLimits; INVALID_ARGUMENT or DATA_LOSS for what Serialize did not write.
  static constexpr JsonLimits kBlobLimits = {
      .bytes = size_t{64} << 20, .depth = 110, .values = size_t{4} << 20};
  static absl::StatusOr<SpecJournal> Parse(std::string_view blob);
  std::string Serialize() const;

  const std::string& container_id() const { return container_id_; }
  const std::string& created() const { return created_; }
  const std::vector<SpecStep>& steps() const { return steps_; }
  // The first so many steps make the original spec.
  size_t original_steps() const { return original_steps_; }
  // The digests of the original and of the final spec.
  std::string original_digest() const;
  std::string final_digest() const;

  // The document after the first `count` steps, at most all of them. DATA_LOSS if a patch does not
  // apply, or the document has another digest than the last of these steps says.
  absl::StatusOr<OciSpec> AfterStep(size_t count) const;
  absl::StatusOr<OciSpec> OriginalSpec() const { return AfterStep(original_steps_); }
  absl::StatusOr<OciSpec> FinalSpec() const { return AfterStep(steps_.size()); }

  // Replays every step and compares every digest. DATA_LOSS names the first step that is not what
  // it says.
  absl::Status Verify() const;

  // For one pass over all steps: calls `operation`, which may be null, with each operation of each
  // patch and the document that it is about to change, and `step` with each step and the document
  // after it. Stops at the first error, which it returns.
  using OperationVisitor = std::function<void(const SpecStep&, const nlohmann::json& operation,
                                              const nlohmann::json& before)>;
  using StepVisitor = std::function<absl::Status(const SpecStep&, const OciSpec& after)>;
  absl::Status Replay(const OperationVisitor& operation, const StepVisitor& step) const;

  // For SpecEditor.
  void Append(SpecStep step);
  void MarkOriginal() { original_steps_ = steps_.size(); }

  friend bool operator==(const SpecJournal&, const SpecJournal&) = default;

 private:
  std::string container_id_;
  std::string created_;
  size_t original_steps_ = 0;
  std::vector<SpecStep> steps_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_SPEC_SPEC_JOURNAL_H_
