#include "daemon/compiler/drift_answer.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/spec/drift/drift.h"
#include "daemon/spec/redact.h"
#include "daemon/spec/spec_journal.h"
#include "nlohmann/json.hpp"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/default_devices.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/oci_spec.h"

namespace ocid {
namespace {

absl::Status Corrupt(const absl::Status& status) {
  return MakeError(absl::StatusCode::kDataLoss, "RECORD_CORRUPT",
                   absl::StrCat("drift: ", status.message()));
}

// linux.resources as the cgroup was told: the spec's, the default devices, what updates changed.
nlohmann::json ResourcesInForce(const OciSpec& spec, const DriftQuestion& question) {
  const nlohmann::json* const given = ResolvePointer(spec.json(), "/linux/resources");
  nlohmann::json resources = given == nullptr ? nlohmann::json::object() : *given;
  if (!question.cgroups.empty()) resources = WithDefaultDevices(resources);
  if (question.updated_resources.empty()) return resources;
  const nlohmann::json updates =
      nlohmann::json::parse(question.updated_resources, nullptr, /*allow_exceptions=*/false);
  if (updates.is_object()) resources.merge_patch(updates);
  return resources;
}

// The value of "NAME=value" or "not set".
std::string Shown(const SpecDrift& drift, const std::string& text, bool redact) {
  const size_t equals = text.find('=');
  if (!redact || !absl::StartsWith(drift.pointer, "/process/env/") || equals == std::string::npos) {
    return text;
  }
  return absl::StrCat(text.substr(0, equals + 1), std::string(kRedactedValue));
}

}  // namespace

absl::StatusOr<v1::DetectDriftResponse> AnswerDrift(const DriftQuestion& question,
                                                    CdiRegistry* devices, const HostFacts& host) {
  const absl::StatusOr<OciSpec> spec = OciSpec::Parse(question.spec_text);
  if (!spec.ok()) return Corrupt(spec.status());
  const absl::StatusOr<SpecJournal> journal = SpecJournal::Parse(question.journal);
  if (!journal.ok()) return Corrupt(journal.status());
  const nlohmann::json resources = ResourcesInForce(*spec, question);
  const absl::StatusOr<DriftReport> report = DetectDrift({.init_pid = question.init_pid,
                                                          .init_start_time = question.init_start_time,
                                                          .parent_pid = question.supervisor_pid,
                                                          .executed = question.executed,
                                                          .spec = *spec,
                                                          .journal = *journal,
                                                          .resources = resources,
                                                          .cgroups = question.cgroups,
                                                          .systemd = question.systemd,
                                                          .host = host,
                                                          .devices = devices});
  if (!report.ok()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "INVALID_STATE",
                     absl::StrCat("container ", question.container_id, ": ",
                                  report.status().message()));
  }
  v1::DetectDriftResponse response;
  for (const SpecDrift& drift : report->drifts()) {
    v1::SpecDrift& out = *response.add_drifts();
    out.set_pointer(drift.pointer);
    out.set_expected(Shown(drift, drift.expected, question.redact));
    out.set_observed(Shown(drift, drift.observed, question.redact));
    out.set_read_from(drift.read_from);
  }
  for (const std::string& pointer : report->checked()) response.add_checked(pointer);
  for (const UncheckedFact& fact : report->unchecked()) {
    v1::DetectDriftResponse::Unchecked& out = *response.add_unchecked();
    out.set_pointer(fact.pointer);
    out.set_reason(fact.reason);
  }
  return response;
}

}  // namespace ocid
