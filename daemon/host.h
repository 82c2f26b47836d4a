// What the daemon finds out about its host and its own files when it starts.
//
// Blocks on /proc and /sys.
#ifndef OCID_DAEMON_HOST_H_
#define OCID_DAEMON_HOST_H_

#include <string>

#include "absl/status/statusor.h"
#include "daemon/api/system_service.h"
#include "daemon/config.h"
#include "daemon/nri/adjustment_apply.h"
#include "runtime/cgroup/cgroup_manager.h"

namespace ocid {

// The supervisor's program: `configured`, or ocid-supervisor beside this program or in
// ../libexec/ocid. NOT_FOUND names where it was looked for.
absl::StatusOr<std::string> FindSupervisor(const std::string& configured);

// What the host can do of what NRI plugins ask for. `cgroups` must outlive it.
AdjustmentHost DescribeAdjustmentHost(const CgroupManager& cgroups);

// What SystemService tells. `cgroups` is the manager in use.
SystemFacts DescribeSystem(const DaemonConfig& config, const CgroupManager& cgroups);

// linux.cgroupsPath of a container that names none, in the notation of the manager in use.
std::string DefaultCgroupsPath(const DaemonConfig& config, CgroupManagerKind kind,
                               const std::string& container_id);

}  // namespace ocid

#endif  // OCID_DAEMON_HOST_H_
