// The devices that every container may use, whatever its spec says of devices.
//
// The specification gives each container the nodes of config-linux.md "Default Devices", so that
// rules which deny everything must not deny those; and a container whose spec has no rules at all
// must not reach the host's disks through nodes that it makes. Both as the runtimes before us do
// it: nodes of any kind may be made, and only the default ones and terminals used.
//
// Pure, thread-safe.
#ifndef OCID_RUNTIME_CGROUP_DEFAULT_DEVICES_H_
#define OCID_RUNTIME_CGROUP_DEFAULT_DEVICES_H_

#include <nlohmann/json_fwd.hpp>

namespace ocid {

// linux.resources, or null, with the rules for the default devices after its own.
nlohmann::json WithDefaultDevices(const nlohmann::json& resources);

// Whether its rules allow anything beyond those.
bool AllowsMoreThanDefaultDevices(const nlohmann::json& resources);

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_DEFAULT_DEVICES_H_
