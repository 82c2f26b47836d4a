// Who is to own a container's cgroup.
//
// A container with a cgroup namespace of its own and a writable cgroup mount is meant to make cgroups
// inside its own, which takes their ownership where its user is not the host's root. The files that hold
// its limits stay root's. Pure. Source: runtime-spec config-linux.md "Cgroup ownership".
#ifndef OCID_RUNTIME_CGROUP_CGROUP_OWNER_H_
#define OCID_RUNTIME_CGROUP_CGROUP_OWNER_H_

#include <sys/types.h>

#include <optional>

#include "nlohmann/json.hpp"

namespace ocid {

// The host's id of the user, for Cgroup::GiveTo; nothing where the cgroup stays as it is. `spec` is an OCI
// spec that was validated.
std::optional<uid_t> CgroupOwner(const nlohmann::json& spec);

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_CGROUP_OWNER_H_
