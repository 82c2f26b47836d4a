// Applying one plugin's adjustment to a spec.
//
// Every field is applied but CDI devices, which are injected by whoever has a registry. What cannot
// be done on this host or by this runtime is left out and told with the reason. Where the reference
// drops an edit without a word, this does it: removals of environment variables and devices, all of
// memory, the seccomp policy's default errno, pids limits of -1. Removals come before additions; a
// limit of memory sets the limit with swap to the same, as in other runtimes, unless the adjustment
// sets that too.
//
// Thread-compatible. Blocks as long as the host's functions do. Source: containerd/nri
// pkg/runtime-tools/generate (what the fields mean); opencontainers/runtime-spec config-linux.md.
#ifndef OCID_DAEMON_NRI_ADJUSTMENT_APPLY_H_
#define OCID_DAEMON_NRI_ADJUSTMENT_APPLY_H_

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "daemon/nri/adjustment_policy.h"
#include "daemon/nri/plugin_calls.h"

namespace ocid {

// What the host says about edits. Functions that are absent are not asked.
struct AdjustmentHost {
  // What cannot be enforced of linux.resources: an error with field violations
  // ("/linux/resources/...").
  std::function<absl::Status(const nlohmann::json& resources)> check_resources = {};
  // Why there are no resource control groups (resctrl) here; empty where there are.
  std::string no_intel_rdt = {};
  // "shared", "slave" or "private": how the mount that `path` lies in propagates.
  std::function<std::string(const std::string& path)> propagation = {};
};

// Applies `adjustment` to the spec `document`. INVALID_ARGUMENT names what can have no meaning,
// such as an unknown namespace; the document may then be changed in part.
absl::Status ApplyAdjustment(const nri::ContainerAdjustment& adjustment, const AdjustmentHost& host,
                             nlohmann::json& document, std::vector<NriIgnoredEdit>& ignored);

// `resources` as linux.resources has them: what they set, nothing else.
nlohmann::json ToOciResources(const nri::LinuxResources& resources,
                              std::vector<NriIgnoredEdit>& ignored);

// AdjustmentHost::propagation of this process, from the text of /proc/self/mountinfo.
std::string PropagationOf(std::string_view mountinfo, const std::string& path);

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_ADJUSTMENT_APPLY_H_
