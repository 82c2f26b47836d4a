// CDI devices: one step for each file's own edits, before the first of its devices, and one for
// each device. All names are resolved before anything is edited.
#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/cdi/cdi_inject.h"
#include "daemon/cdi/cdi_name.h"
#include "daemon/cdi/cdi_registry.h"
#include "daemon/spec/transformers/transformers.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

constexpr std::string_view kUnresolvable = "DEVICE_UNRESOLVABLE";

// The request's devices, then those of annotations; each once: a device given twice would get its
// hooks twice.
absl::StatusOr<std::vector<std::string>> RequestedDevices(const SpecRequest& request,
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

absl::Status Inject(const SpecActor& actor, const CdiEdits& edits, SpecEditor& editor) {
  absl::Status status = editor.Edit(
      actor, [&edits](SpecEdit& edit) { return ApplyCdiEdits(edits, edit.spec.json()); });
  if (status.ok() || !GetReason(status).empty()) return status;
  return MakeError(absl::StatusCode::kFailedPrecondition, kUnresolvable,
                   absl::StrCat("CDI device ", actor.name, ": ", std::string(status.message()),
                                " (", actor.source_file, ")"),
                   {{actor.name, std::string(status.message())}});
}

absl::Status Transform(CdiRegistry* registry, const SpecRequest& request, SpecEditor& editor) {
  const absl::StatusOr<std::vector<std::string>> names = RequestedDevices(request, editor.spec());
  if (!names.ok()) return names.status();
  if (names->empty()) return absl::OkStatus();

  ErrorMetadata causes;
  std::vector<CdiDeviceEntry> devices;
  const std::shared_ptr<const CdiSnapshot> snapshot =
      registry == nullptr ? nullptr : registry->Refresh();
  for (const std::string& name : *names) {
    absl::StatusOr<CdiDeviceEntry> device =
        snapshot == nullptr ? absl::NotFoundError("CDI is switched off") : snapshot->Find(name);
    if (device.ok()) {
      devices.push_back(*std::move(device));
    } else {
      causes[name] = std::string(device.status().message());
    }
  }
  if (!causes.empty()) return Unresolvable(causes);

  std::set<const CdiFile*> files;
  for (const CdiDeviceEntry& entry : devices) {
    const CdiSpec& spec = entry.spec();
    SpecActor actor{.kind = ActorKind::kCdi,
                    .name = spec.Kind(),
                    .version = spec.version,
                    .source_file = entry.file->path,
                    .source_sha256 = entry.file->sha256};
    if (files.insert(entry.file.get()).second) {
      absl::Status status = Inject(actor, spec.edits, editor);
      if (!status.ok()) return status;
    }
    actor.name = absl::StrCat(spec.Kind(), "=", entry.device().name);
    absl::Status status = Inject(actor, entry.device().edits, editor);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

SpecTransformer MakeCdiDevicesTransformer(CdiRegistry* registry) {
  return {.name = "cdi_devices",
          .phase = SpecPhase::kDevices,
          .transform = [registry](const SpecRequest& request, SpecEditor& editor) {
            return Transform(registry, request, editor);
          }};
}

}  // namespace ocid
