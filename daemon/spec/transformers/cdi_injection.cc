#include "daemon/spec/transformers/cdi_injection.h"

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/cdi/cdi_inject.h"
#include "daemon/cdi/cdi_name.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

constexpr std::string_view kUnresolvable = "DEVICE_UNRESOLVABLE";

absl::Status Unresolvable(const ErrorMetadata& causes) {
  std::string names;
  std::string reasons;
  for (const auto& [name, reason] : causes) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", name);
    absl::StrAppend(&reasons, reasons.empty() ? "" : "; ", name, ": ", reason);
  }
  return MakeError(absl::StatusCode::kFailedPrecondition, kUnresolvable,
                   absl::StrCat("unresolvable CDI devices ", names, ": ", reasons), causes);
}

// What others keep, taken out of `edits` and told.
template <typename Entry, typename PathOf>
void LeaveToKeepers(bool is_mount, const CdiInjection& injection, PathOf path_of,
                    std::vector<Entry>& entries, SpecEdit& edit) {
  std::erase_if(entries, [&](const Entry& entry) {
    const std::string& path = path_of(entry);
    const std::string keeper = injection.keeper(is_mount, path);
    if (keeper.empty()) return false;
    edit.Ignore(is_mount ? "/mounts" : "/linux/devices", nlohmann::json(path).dump(),
                absl::StrCat("plugin ", keeper, " set it"));
    return true;
  });
}

absl::Status Inject(const SpecActor& actor, CdiEdits edits, const CdiInjection& injection,
                    SpecEditor& editor) {
  absl::Status status = editor.Edit(actor, [&](SpecEdit& edit) -> absl::Status {
    edit.keep_without_change = !edits.empty();
    if (injection.keeper) {
      LeaveToKeepers(
          /*is_mount=*/false, injection,
          [](const CdiDeviceNode& node) -> const std::string& { return node.path; },
          edits.device_nodes, edit);
      LeaveToKeepers(
          /*is_mount=*/true, injection,
          [](const CdiMount& mount) -> const std::string& { return mount.container_path; },
          edits.mounts, edit);
    }
    absl::StatusOr<CdiChanges> changes = ApplyCdiEdits(edits, edit.spec.json());
    if (!changes.ok()) return changes.status();
    edit.scope = {.members = std::move(changes->members), .kept_mounts = changes->kept_mounts};
    return absl::OkStatus();
  });
  if (status.ok() || !GetReason(status).empty()) return status;
  return MakeError(absl::StatusCode::kFailedPrecondition, kUnresolvable,
                   absl::StrCat("CDI device ", actor.name, ": ", std::string(status.message()),
                                " (", actor.source_file, ")"),
                   {{actor.name, std::string(status.message())}});
}

bool HasStepOf(const CdiFile& file, const SpecJournal& journal) {
  for (const SpecStep& step : journal.steps()) {
    if (step.actor.kind == ActorKind::kCdi && step.actor.source_file == file.path) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<std::vector<CdiDeviceEntry>> ResolveCdiDevices(
    CdiRegistry* registry, const std::vector<std::string>& names) {
  ErrorMetadata causes;
  std::vector<CdiDeviceEntry> devices;
  const std::shared_ptr<const CdiSnapshot> snapshot =
      registry == nullptr ? nullptr : registry->Refresh();
  for (const std::string& name : names) {
    absl::StatusOr<CdiDeviceEntry> device =
        snapshot == nullptr ? absl::NotFoundError("CDI is switched off") : snapshot->Find(name);
    if (device.ok()) {
      devices.push_back(*std::move(device));
    } else {
      causes[name] = std::string(device.status().message());
    }
  }
  if (!causes.empty()) return Unresolvable(causes);
  return devices;
}

absl::Status InjectCdiDevices(const std::vector<CdiDeviceEntry>& devices,
                              const CdiInjection& injection, SpecEditor& editor) {
  for (const CdiDeviceEntry& entry : devices) {
    const CdiSpec& spec = entry.spec();
    SpecActor actor{.kind = ActorKind::kCdi,
                    .name = spec.Kind(),
                    .version = spec.version,
                    .source_file = entry.file->path,
                    .source_sha256 = entry.file->sha256,
                    .on_behalf_of = injection.on_behalf_of};
    if (!HasStepOf(*entry.file, editor.journal())) {
      absl::Status status = Inject(actor, spec.edits, injection, editor);
      if (!status.ok()) return status;
    }
    actor.name = absl::StrCat(spec.Kind(), "=", entry.device().name);
    absl::Status status = Inject(actor, entry.device().edits, injection, editor);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> RequestedCdiDevices(const SpecRequest& request,
                                                             const OciSpec& spec) {
  std::vector<std::string> names = request.cdi_devices;
  const absl::StatusOr<std::vector<std::string>> annotated =
      CdiDevicesOfAnnotations(spec.Annotations());
  if (!annotated.ok()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "INVALID_REQUEST",
                     std::string(annotated.status().message()));
  }
  names.insert(names.end(), annotated->begin(), annotated->end());
  std::set<std::string> seen;
  std::erase_if(names, [&seen](const std::string& name) { return !seen.insert(name).second; });
  return names;
}

std::vector<std::string> InjectedCdiDevices(const SpecJournal& journal) {
  std::vector<std::string> names;
  for (const SpecStep& step : journal.steps()) {
    const bool is_device =
        step.actor.kind == ActorKind::kCdi && step.actor.name.find('=') != std::string::npos;
    if (is_device) names.push_back(step.actor.name);
  }
  return names;
}

}  // namespace ocid
