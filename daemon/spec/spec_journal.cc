#include "daemon/spec/spec_journal.h"

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/oci/json_patch.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

constexpr int kSchema = 1;

constexpr std::array<std::string_view, 6> kPhaseNames = {"base",    "defaults", "request",
                                                         "devices", "plugins",  "final"};
constexpr std::array<std::string_view, 9> kActorKindNames = {
    "bundle", "image", "upgrade", "strip", "default", "request", "cdi", "nri", "finalize"};

template <size_t n>
std::optional<size_t> IndexOf(const std::array<std::string_view, n>& names, std::string_view name) {
  for (size_t i = 0; i < n; ++i) {
    if (names[i] == name) return i;
  }
  return std::nullopt;
}

absl::Status StepError(size_t index, std::string_view why) {
  return absl::DataLossError(
      absl::StrCat("spec journal: step ", index, ": ", absl::string_view(why.data(), why.size())));
}

absl::Status ApplyStep(const SpecStep& step, OciSpec& spec) {
  const absl::StatusOr<Json> patch = ParseJson(step.patch, SpecJournal::kBlobLimits);
  if (!patch.ok()) return StepError(step.index, patch.status().ToString());
  absl::Status applied = ApplyPatch(*patch, spec.json());
  if (!applied.ok()) return StepError(step.index, applied.ToString());
  if (!spec.json().is_object()) return StepError(step.index, "the document is no object");
  return absl::OkStatus();
}

// ---- The blob

void AppendMember(std::string_view name, std::string_view text, std::string& out) {
  if (out.back() != '{') out.push_back(',');
  AppendJsonString(name, out);
  out.push_back(':');
  AppendJsonString(text, out);
}

void AppendMember(std::string_view name, int64_t number, std::string& out) {
  if (out.back() != '{') out.push_back(',');
  AppendJsonString(name, out);
  absl::StrAppend(&out, ":", number);
}

void AppendStep(const SpecStep& step, std::string& out) {
  out.push_back('{');
  AppendMember("phase", SpecPhaseName(step.phase), out);
  AppendMember("actor_kind", ActorKindName(step.actor.kind), out);
  AppendMember("actor", step.actor.name, out);
  AppendMember("actor_version", step.actor.version, out);
  AppendMember("source_file", step.actor.source_file, out);
  AppendMember("source_sha256", step.actor.source_sha256, out);
  if (!step.actor.on_behalf_of.empty()) AppendMember("on_behalf_of", step.actor.on_behalf_of, out);
  if (!step.requested_json.empty()) AppendMember("requested", step.requested_json, out);
  AppendMember("time_unix_ns", absl::ToUnixNanos(step.time), out);
  AppendMember("duration_ns", absl::ToInt64Nanoseconds(step.duration), out);
  absl::StrAppend(&out, ",\"patch\":", step.patch, ",\"ignored\":[");
  for (const IgnoredEdit& ignored : step.ignored) {
    if (out.back() != '[') out.push_back(',');
    out.push_back('{');
    AppendMember("pointer", ignored.pointer, out);
    AppendMember("requested", ignored.requested_json, out);
    AppendMember("reason", ignored.reason, out);
    out.push_back('}');
  }
  out += "],\"conflicts\":[";
  for (const SpecConflict& conflict : step.conflicts) {
    if (out.back() != '[') out.push_back(',');
    out.push_back('{');
    AppendMember("pointer", conflict.pointer, out);
    AppendMember("what", conflict.what, out);
    AppendMember("previous_step", static_cast<int64_t>(conflict.previous_step), out);
    AppendMember("previous_actor", conflict.previous_actor, out);
    AppendMember("resolution", conflict.resolution, out);
    out.push_back('}');
  }
  out.push_back(']');
  AppendMember("digest_before", step.digest_before, out);
  AppendMember("digest_after", step.digest_after, out);
  out.push_back('}');
}

// Reads the members of one object of the blob; remembers the first that is not as it must be.
class ObjectReader {
 public:
  explicit ObjectReader(const Json& object) : object_(object) {}

  std::string String(std::string_view name) {
    const Json* member = FindMember(object_, name);
    if (member != nullptr && member->is_string()) return member->get_ref<const std::string&>();
    Missing(name);
    return {};
  }
  std::string OptionalString(std::string_view name) {
    return FindMember(object_, name) == nullptr ? std::string() : String(name);
  }
  int64_t Integer(std::string_view name) {
    const Json* member = FindMember(object_, name);
    if (member != nullptr && member->is_number_integer()) return member->get<int64_t>();
    Missing(name);
    return 0;
  }
  const Json& Array(std::string_view name) {
    static const Json* const kEmpty = new Json(Json::array());
    const Json* member = FindMember(object_, name);
    if (member != nullptr && member->is_array()) return *member;
    Missing(name);
    return *kEmpty;
  }
  template <size_t n>
  size_t Name(std::string_view name, const std::array<std::string_view, n>& names) {
    const std::optional<size_t> index = IndexOf(names, String(name));
    if (!index.has_value()) Missing(name);
    return index.value_or(0);
  }

  const std::string& missing() const { return missing_; }

 private:
  void Missing(std::string_view name) {
    if (missing_.empty()) missing_ = name;
  }

  const Json& object_;
  std::string missing_;
};

absl::StatusOr<SpecStep> ParseStep(const Json& object, size_t index) {
  ObjectReader reader(object);
  SpecStep step;
  step.index = index;
  step.phase = static_cast<SpecPhase>(reader.Name("phase", kPhaseNames));
  step.actor.kind = static_cast<ActorKind>(reader.Name("actor_kind", kActorKindNames));
  step.actor.name = reader.String("actor");
  step.actor.version = reader.String("actor_version");
  step.actor.source_file = reader.String("source_file");
  step.actor.source_sha256 = reader.String("source_sha256");
  step.actor.on_behalf_of = reader.OptionalString("on_behalf_of");
  step.requested_json = reader.OptionalString("requested");
  step.time = absl::FromUnixNanos(reader.Integer("time_unix_ns"));
  step.duration = absl::Nanoseconds(reader.Integer("duration_ns"));
  step.patch = CanonicalJson(reader.Array("patch"));
  for (const Json& element : reader.Array("ignored")) {
    ObjectReader ignored(element);
    step.ignored.push_back(
        {ignored.String("pointer"), ignored.String("requested"), ignored.String("reason")});
    if (!ignored.missing().empty()) return StepError(index, "a malformed ignored edit");
  }
  for (const Json& element : reader.Array("conflicts")) {
    ObjectReader conflict(element);
    step.conflicts.push_back(
        {.pointer = conflict.String("pointer"),
         .what = conflict.String("what"),
         .previous_step = static_cast<size_t>(conflict.Integer("previous_step")),
         .previous_actor = conflict.String("previous_actor"),
         .resolution = conflict.String("resolution")});
    if (!conflict.missing().empty()) return StepError(index, "a malformed conflict");
  }
  step.digest_before = reader.String("digest_before");
  step.digest_after = reader.String("digest_after");
  if (!reader.missing().empty()) {
    return StepError(index, absl::StrCat("malformed member \"", reader.missing(), "\""));
  }
  return step;
}

}  // namespace

std::string_view SpecPhaseName(SpecPhase phase) { return kPhaseNames[static_cast<size_t>(phase)]; }

std::string_view ActorKindName(ActorKind kind) {
  return kActorKindNames[static_cast<size_t>(kind)];
}

std::string SpecJournal::Serialize() const {
  std::string blob = "{";
  AppendMember("schema", kSchema, blob);
  AppendMember("container_id", container_id_, blob);
  AppendMember("created", created_, blob);
  AppendMember("original_steps", static_cast<int64_t>(original_steps_), blob);
  blob += ",\"steps\":[";
  for (const SpecStep& step : steps_) {
    if (step.index > 0) blob.push_back(',');
    AppendStep(step, blob);
  }
  blob += "]}";
  return blob;
}

absl::StatusOr<SpecJournal> SpecJournal::Parse(std::string_view blob) {
  const absl::StatusOr<Json> document = ParseJson(blob, kBlobLimits);
  if (!document.ok()) return document.status();
  ObjectReader reader(*document);
  const int64_t schema = reader.Integer("schema");
  SpecJournal journal(reader.String("container_id"), reader.String("created"));
  journal.original_steps_ = static_cast<size_t>(reader.Integer("original_steps"));
  const Json& steps = reader.Array("steps");
  if (!reader.missing().empty()) {
    return absl::DataLossError(
        absl::StrCat("spec journal: malformed member \"", reader.missing(), "\""));
  }
  if (schema != kSchema) {
    return absl::DataLossError(absl::StrCat("spec journal: schema ", schema, " is not known"));
  }
  for (const Json& element : steps) {
    absl::StatusOr<SpecStep> step = ParseStep(element, journal.steps_.size());
    if (!step.ok()) return step.status();
    journal.steps_.push_back(*std::move(step));
  }
  if (journal.original_steps_ > journal.steps_.size()) {
    return absl::DataLossError("spec journal: the original spec lies beyond the last step");
  }
  return journal;
}

std::string SpecJournal::original_digest() const {
  return original_steps_ == 0 ? OciSpec().Digest() : steps_[original_steps_ - 1].digest_after;
}

std::string SpecJournal::final_digest() const {
  return steps_.empty() ? OciSpec().Digest() : steps_.back().digest_after;
}

absl::StatusOr<OciSpec> SpecJournal::AfterStep(size_t count) const {
  if (count > steps_.size()) {
    return absl::OutOfRangeError(
        absl::StrCat("spec journal: ", steps_.size(), " steps, not ", count));
  }
  OciSpec spec;
  for (size_t i = 0; i < count; ++i) {
    absl::Status applied = ApplyStep(steps_[i], spec);
    if (!applied.ok()) return applied;
  }
  if (count > 0 && spec.Digest() != steps_[count - 1].digest_after) {
    return StepError(count - 1, "the document after it has another digest");
  }
  return spec;
}

absl::Status SpecJournal::Verify() const {
  OciSpec spec;
  std::string digest = spec.Digest();
  for (const SpecStep& step : steps_) {
    if (step.digest_before != digest) {
      return StepError(step.index, "the document before it has another digest");
    }
    absl::Status applied = ApplyStep(step, spec);
    if (!applied.ok()) return applied;
    digest = spec.Digest();
    if (step.digest_after != digest) {
      return StepError(step.index, "the document after it has another digest");
    }
  }
  return absl::OkStatus();
}

absl::Status SpecJournal::Replay(const OperationVisitor& operation_visitor,
                                 const StepVisitor& step_visitor) const {
  OciSpec spec;
  for (const SpecStep& step : steps_) {
    absl::StatusOr<Json> patch = ParseJson(step.patch, kBlobLimits);
    if (!patch.ok()) return StepError(step.index, patch.status().ToString());
    if (!patch->is_array()) return StepError(step.index, "its patch is no array");
    for (Json& operation : *patch) {
      if (operation_visitor) operation_visitor(step, operation, std::as_const(spec).json());
      absl::Status applied = ApplyPatchOperation(std::move(operation), spec.json());
      if (!applied.ok()) return StepError(step.index, applied.ToString());
    }
    if (!spec.json().is_object()) return StepError(step.index, "the document is no object");
    absl::Status visited = step_visitor(step, spec);
    if (!visited.ok()) return visited;
  }
  return absl::OkStatus();
}

void SpecJournal::Append(SpecStep step) {
  step.index = steps_.size();
  steps_.push_back(std::move(step));
}

}  // namespace ocid
