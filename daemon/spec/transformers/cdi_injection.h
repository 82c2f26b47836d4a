// How CDI devices get into a spec, for the transformers that know which: the request's and its
// annotations', and those that plugins ask for.
//
// Thread-safe. Blocks on CDI files and on the host's device nodes.
#ifndef OCID_DAEMON_SPEC_TRANSFORMERS_CDI_INJECTION_H_
#define OCID_DAEMON_SPEC_TRANSFORMERS_CDI_INJECTION_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/cdi/cdi_registry.h"
#include "daemon/spec/spec_editor.h"
#include "daemon/spec/spec_request.h"

namespace ocid {

// All of them, or FAILED_PRECONDITION, reason DEVICE_UNRESOLVABLE, with a cause for each that there
// is not. `registry` may be null: then there is none.
absl::StatusOr<std::vector<CdiDeviceEntry>> ResolveCdiDevices(
    CdiRegistry* registry, const std::vector<std::string>& names);

struct CdiInjection {
  std::string on_behalf_of = {};  // SpecActor
  // Who has set the device node or mount at this path of the container and keeps it; "" if nobody
  // has.
  std::function<std::string(bool is_mount, const std::string& path)> keeper = {};
};

// One step for each file's own edits, before the first of its devices in this journal, and one for
// each device.
absl::Status InjectCdiDevices(const std::vector<CdiDeviceEntry>& devices,
                              const CdiInjection& injection, SpecEditor& editor);

// The request's devices, then those of the spec's annotations; each once: a device given twice
// would get its hooks twice. INVALID_ARGUMENT for an annotation that cannot be read.
absl::StatusOr<std::vector<std::string>> RequestedCdiDevices(const SpecRequest& request,
                                                             const OciSpec& spec);

// The names of the CDI devices that have a step in the journal.
std::vector<std::string> InjectedCdiDevices(const SpecJournal& journal);

}  // namespace ocid

#endif  // OCID_DAEMON_SPEC_TRANSFORMERS_CDI_INJECTION_H_
