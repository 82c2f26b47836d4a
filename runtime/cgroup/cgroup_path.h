// Where a container's cgroup goes: linux.cgroupsPath made into a path, or into a slice and a scope.
//
// Pure. Errors are INVALID_ARGUMENT, CGROUP_PATH_INVALID, with the field /linux/cgroupsPath.
// Sources: runtime-spec config-linux.md "Cgroups Path"; systemd.unit(5), systemd.slice(5); the form
// slice:prefix:name is runc's (docs/systemd.md).
#ifndef OCID_RUNTIME_CGROUP_CGROUP_PATH_H_
#define OCID_RUNTIME_CGROUP_CGROUP_PATH_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ocid {

// Below the root of each hierarchy, without leading or trailing '/': "ocid/web".
// `id` must be a container id, which is a path component.
absl::StatusOr<std::string> ResolveCgroupPath(std::string_view parent, std::string_view id,
                                              std::string_view cgroups_path);

struct ScopeName {
  std::string slice;  // "machine-web.slice"
  std::string scope;  // "ocid-web.scope"

  // Where systemd puts it: "machine.slice/machine-web.slice/ocid-web.scope".
  std::string CgroupPath() const;

  friend bool operator==(const ScopeName&, const ScopeName&) = default;
};

absl::StatusOr<ScopeName> ResolveScopeName(std::string_view default_slice, std::string_view id,
                                           std::string_view cgroups_path);

// Of the supervisors whose containers go to `slice` by default. Names of units are the whole host's,
// so a slice of one's own is in the name; no container's scope has a name without a dash.
ScopeName SupervisorScope(std::string_view slice);

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_CGROUP_PATH_H_
