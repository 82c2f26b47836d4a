#include "daemon/spec/spec_editor.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/spec/spec_changes.h"
#include "runtime/base/error_details.h"
#include "runtime/oci/json_identity.h"
#include "runtime/oci/json_patch.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

const std::string& StringOf(const Json& operation, const char* name) {
  return operation.find(name)->get_ref<const std::string&>();
}

}  // namespace

SpecEditor::SpecEditor(SpecJournal journal, Options options)
    : options_(std::move(options)), journal_(std::move(journal)), digest_(OciSpec().Digest()) {}

SpecEditor::~SpecEditor() = default;

const SpecActor* SpecEditor::LastWriter(std::string_view pointer) const {
  const std::optional<size_t> step = provenance_.LastWriterWithin(pointer);
  return step.has_value() ? &journal_.steps()[*step].actor : nullptr;
}

void SpecEditor::EnterPhase(SpecPhase phase) {
  if (phase_ <= SpecPhase::kRequest && phase > SpecPhase::kRequest) journal_.MarkOriginal();
  phase_ = phase;
}

absl::Status SpecEditor::Edit(SpecActor actor, const EditFunction& edit) {
  const absl::Time start = options_.clock();
  SpecEdit context{.spec = working_, .ignored = {}};
  absl::Status edited;
  try {
    edited = edit(context);
  } catch (const Json::exception& error) {
    // The JSON library throws where a value has another type than the code that uses it expects.
    edited = absl::InvalidArgumentError(absl::StrCat(actor.name, ": ", error.what()));
  }
  if (!edited.ok()) {
    working_ = shadow_;
    return edited;
  }

  Json patch = Json::array();
  if (context.scope.has_value()) {
    for (const std::string_view member : context.scope->members) {
      AppendMemberDiff(member, std::as_const(shadow_).json(), std::as_const(working_).json(), patch,
                       member == "mounts" ? context.scope->kept_mounts : 0);
    }
  } else {
    patch = Diff(std::as_const(shadow_).json(), std::as_const(working_).json());
  }
  if (patch.empty() && context.ignored.empty() && !context.keep_without_change) {
    return absl::OkStatus();
  }
  NormalizeNumbers(patch);
  SpecStep step;
  step.index = journal_.steps().size();
  step.phase = phase_;
  step.actor = std::move(actor);
  step.time = start;
  step.ignored = std::move(context.ignored);
  step.requested_json = std::move(context.requested_json);
  step.patch = CanonicalJson(patch);
  if (!IsValidUtf8(step.patch)) {
    working_ = shadow_;
    return absl::InvalidArgumentError(
        absl::StrCat(step.actor.name, ": a string of its edit is not valid UTF-8"));
  }
  absl::Status applied = ApplyToShadow(patch, step);
  if (!applied.ok()) {
    Restore();
    return applied;
  }
  step.digest_before = digest_;
  if (!patch.empty()) digest_ = digests_.Update(patch, std::as_const(shadow_).json());
  step.digest_after = digest_;
  step.duration = options_.clock() - start;
  journal_.Append(std::move(step));
  return absl::OkStatus();
}

absl::Status SpecEditor::ApplyToShadow(Json& patch, SpecStep& step) {
  const bool may_conflict = phase_ == SpecPhase::kDevices || phase_ == SpecPhase::kPlugins;
  for (Json& operation : patch) {
    if (may_conflict) {
      std::optional<SpecConflict> conflict = FindConflict(operation);
      if (conflict.has_value()) {
        const ActorKind previous = journal_.steps()[conflict->previous_step].actor.kind;
        if (step.actor.kind == ActorKind::kNri && previous == ActorKind::kRequest &&
            !options_.plugins_override_request) {
          return MakeError(absl::StatusCode::kFailedPrecondition, "DEVICE_CONFLICT",
                           absl::StrCat(step.actor.name, ": may not override ", conflict->what,
                                        ", which the request set"),
                           {{"actor", step.actor.name}, {"pointer", conflict->pointer}});
        }
        step.conflicts.push_back(*std::move(conflict));
      }
    }
    provenance_.Note(operation, std::as_const(shadow_).json(), step.index);
    absl::Status applied = ApplyPatchOperation(std::move(operation), shadow_.json());
    if (!applied.ok()) {
      return absl::InternalError(absl::StrCat("spec step of ", step.actor.name,
                                              ": the patch does not apply: ", applied.message()));
    }
  }
  return absl::OkStatus();
}

std::optional<SpecConflict> SpecEditor::FindConflict(const Json& operation) const {
  const std::string& op = StringOf(operation, "op");
  const std::string& path = StringOf(operation, "path");
  if (op != "replace" && op != "remove" && op != "add") return std::nullopt;
  // What is added beside the elements of a list overrides nobody; what is added to an element, such
  // as an option of a mount, does.
  const std::string written = op == "add" ? ThingAround(path) : path;
  if (op == "add" && written.empty()) return std::nullopt;
  const std::optional<size_t> previous = provenance_.LastWriterWithin(written);
  // Operations of one step may touch a value twice: nobody is in conflict with itself.
  if (!previous.has_value() || *previous >= journal_.steps().size()) return std::nullopt;
  return SpecConflict{.pointer = path,
                      .what = DescribeValue(std::as_const(shadow_).json(), written),
                      .previous_step = *previous,
                      .previous_actor = journal_.steps()[*previous].actor.name,
                      .resolution = op == "replace"  ? "replaced"
                                    : op == "remove" ? "removed"
                                                     : "added to"};
}

void SpecEditor::Restore() {
  shadow_ = OciSpec();
  provenance_ = Provenance();
  digests_.Forget();
  for (const SpecStep& step : journal_.steps()) {
    const absl::StatusOr<Json> patch = ParseJson(step.patch, SpecJournal::kBlobLimits);
    if (!patch.ok()) continue;  // we wrote it
    for (const Json& operation : *patch) {
      provenance_.Note(operation, std::as_const(shadow_).json(), step.index);
      ApplyPatchOperation(operation, shadow_.json()).IgnoreError();
    }
  }
  working_ = shadow_;
}

SpecEditor::Result SpecEditor::Finish() && {
  if (phase_ <= SpecPhase::kRequest) journal_.MarkOriginal();
  return {.spec = std::move(shadow_), .journal = std::move(journal_)};
}

}  // namespace ocid
