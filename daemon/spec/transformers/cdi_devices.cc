// CDI devices: those of the request, then those of annotations. All names are resolved before
// anything is edited.
#include <string>
#include <vector>

#include "daemon/spec/transformers/cdi_injection.h"
#include "daemon/spec/transformers/transformers.h"

namespace ocid {
namespace {

absl::Status Transform(CdiRegistry* registry, const SpecRequest& request, SpecEditor& editor) {
  const absl::StatusOr<std::vector<std::string>> names =
      RequestedCdiDevices(request, editor.spec());
  if (!names.ok()) return names.status();
  if (names->empty()) return absl::OkStatus();
  const absl::StatusOr<std::vector<CdiDeviceEntry>> devices = ResolveCdiDevices(registry, *names);
  if (!devices.ok()) return devices.status();
  return InjectCdiDevices(*devices, {}, editor);
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
