#include "daemon/compiler/spec_history.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "daemon/spec/redact.h"
#include "daemon/spec/spec_changes.h"
#include "google/protobuf/util/time_util.h"
#include "nlohmann/json.hpp"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

using ::google::protobuf::util::TimeUtil;

v1::SpecStep::ActorKind ToApi(ActorKind kind) {
  switch (kind) {
    case ActorKind::kBundle:
      return v1::SpecStep::BUNDLE;
    case ActorKind::kImage:
      return v1::SpecStep::IMAGE;
    case ActorKind::kUpgrade:
      return v1::SpecStep::UPGRADE;
    case ActorKind::kStrip:
      return v1::SpecStep::STRIP;
    case ActorKind::kDefault:
      return v1::SpecStep::DEFAULT;
    case ActorKind::kRequest:
      return v1::SpecStep::REQUEST;
    case ActorKind::kCdi:
      return v1::SpecStep::CDI;
    case ActorKind::kNri:
      return v1::SpecStep::NRI;
    case ActorKind::kFinalize:
      return v1::SpecStep::FINALIZE;
  }
  return v1::SpecStep::ACTOR_KIND_UNSPECIFIED;
}

// What a view has beside digests.
struct Shown {
  bool original = false;
  bool final = false;
  bool all_steps = false;
  bool late_steps = false;  // from the first device or plugin on
};

Shown ShownBy(v1::SpecView view) {
  switch (view) {
    case v1::SPEC_VIEW_ORIGINAL:
      return {.original = true};
    case v1::SPEC_VIEW_DIFF:
      return {.late_steps = true};
    case v1::SPEC_VIEW_FULL:
      return {.original = true, .final = true, .all_steps = true, .late_steps = true};
    default:
      return {.final = true};
  }
}

v1::SpecDocument Document(const OciSpec& spec, std::string_view sha256, bool with_text) {
  v1::SpecDocument document;
  document.set_sha256(std::string(sha256));
  if (with_text) document.set_json(spec.Canonical());
  return document;
}

void Describe(const IgnoredEdit& edit, v1::IgnoredEdit& out) {
  out.set_pointer(edit.pointer);
  out.set_requested_json(edit.requested_json);
  out.set_reason(edit.reason);
}

void Describe(const SpecConflict& conflict, v1::SpecConflict& out) {
  out.set_pointer(conflict.pointer);
  out.set_previous_actor(conflict.previous_actor);
  out.set_resolution(conflict.what.empty() ? conflict.resolution
                                           : absl::StrCat(conflict.what, " ", conflict.resolution));
}

v1::SpecStep DescribeStep(const SpecStep& step, const std::vector<SpecChange>& changes) {
  v1::SpecStep out;
  out.set_index(static_cast<uint32_t>(step.index));
  out.set_actor_kind(ToApi(step.actor.kind));
  out.set_actor(step.actor.name);
  out.set_actor_version(step.actor.version);
  out.set_source_file(step.actor.source_file);
  out.set_source_sha256(step.actor.source_sha256);
  *out.mutable_time() = TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(step.time));
  *out.mutable_duration() =
      TimeUtil::NanosecondsToDuration(absl::ToInt64Nanoseconds(step.duration));
  out.set_json_patch(step.patch);
  out.set_requested_json(step.requested_json);
  out.set_on_behalf_of(step.actor.on_behalf_of);
  for (const SpecChange& change : changes) out.add_changes(change.text);
  for (const IgnoredEdit& edit : step.ignored) Describe(edit, *out.add_ignored());
  for (const SpecConflict& conflict : step.conflicts) Describe(conflict, *out.add_conflicts());
  out.set_digest_before(step.digest_before);
  out.set_digest_after(step.digest_after);
  return out;
}

absl::StatusOr<v1::OciSpecHistory> Replay(const SpecJournal& journal,
                                          const HistoryOptions& options) {
  const Shown parts = ShownBy(options.view);
  const auto is_shown = [&](const SpecStep& step) {
    return parts.all_steps || (parts.late_steps && step.index >= journal.original_steps());
  };
  v1::OciSpecHistory history;
  std::vector<SpecChange> changes;
  const absl::Status status = journal.Replay(
      [&](const SpecStep& step, const nlohmann::json& operation, const nlohmann::json& before) {
        if (is_shown(step)) AppendChanges(operation, before, changes);
      },
      [&](const SpecStep& step, const OciSpec& after) {
        if (is_shown(step)) {
          v1::SpecStep described = DescribeStep(step, changes);
          if (options.include_documents) {
            *described.mutable_document_after() = Document(after, step.digest_after, true);
          }
          *history.add_steps() = std::move(described);
        }
        changes.clear();
        if (step.index + 1 == journal.original_steps()) {
          *history.mutable_original() = Document(after, step.digest_after, parts.original);
        }
        if (step.index + 1 == journal.steps().size()) {
          *history.mutable_final() = Document(after, step.digest_after, parts.final);
        }
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return history;
}

}  // namespace

absl::StatusOr<v1::OciSpecHistory> DescribeHistory(const SpecJournal& journal,
                                                   const HistoryOptions& options) {
  // The patches of the redaction make the documents with hidden values; digests are of the true ones.
  absl::StatusOr<SpecJournal> redacted;
  if (options.redact) {
    redacted = RedactJournal(journal);
    if (!redacted.ok()) return redacted.status();
  }
  absl::StatusOr<v1::OciSpecHistory> history =
      Replay(options.redact ? *redacted : journal, options);
  if (history.ok()) {
    history->set_redacted(options.redact);
    return history;
  }
  const absl::string_view message = history.status().message();
  return MakeError(absl::StatusCode::kDataLoss, "RECORD_CORRUPT",
                   std::string_view(message.data(), message.size()));
}

}  // namespace ocid
