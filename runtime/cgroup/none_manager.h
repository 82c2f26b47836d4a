// The manager `none`: containers without control groups. See cgroup_manager.h. Thread-safe.
#ifndef OCID_RUNTIME_CGROUP_NONE_MANAGER_H_
#define OCID_RUNTIME_CGROUP_NONE_MANAGER_H_

#include <memory>

#include "runtime/cgroup/cgroup_manager.h"

namespace ocid {

std::unique_ptr<CgroupManager> MakeNoneManager(const CgroupManagerOptions& options);

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_NONE_MANAGER_H_
