// The machine, as the plan compiler and those who launch its plans need it: plan_compile.h itself reads
// nothing.
//
// Thread-safe. Reads a few files of /proc and /sys; nothing waits. Sources: capabilities(7),
// user_namespaces(7), newuidmap(1), Documentation/arch/x86/resctrl.rst.
#ifndef OCID_RUNTIME_PLAN_LAUNCH_HOST_H_
#define OCID_RUNTIME_PLAN_LAUNCH_HOST_H_

#include <string>
#include <vector>

#include "nlohmann/json_fwd.hpp"
#include "runtime/cgroup/cgroup.h"
#include "runtime/plan/plan_compile.h"

namespace ocid {

// For plans that this process, or one that it starts, shall launch.
HostFacts ReadHostFacts();

// What a mount of type "cgroup" shows of a container's cgroups.
std::vector<CgroupMount> CgroupMountsOf(const std::vector<CgroupPath>& paths);

// Removes what a launch with linux.intelRdt made on the host: the group of a container without a
// closID, and its monitoring group. Without effect where there is nothing.
void RemoveResctrlGroups(const nlohmann::json& spec, const std::string& id);

}  // namespace ocid

#endif  // OCID_RUNTIME_PLAN_LAUNCH_HOST_H_
