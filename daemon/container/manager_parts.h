// MakeContainerManager: a ContainerManager of given parts.
//
// ContainerManager::Open makes the parts from directories; tests bring a store that fails, or time that
// they move themselves.
#ifndef OCID_DAEMON_CONTAINER_MANAGER_PARTS_H_
#define OCID_DAEMON_CONTAINER_MANAGER_PARTS_H_

#include <memory>

#include "daemon/base/timers.h"
#include "daemon/container/oom_watcher.h"
#include "daemon/container/container_manager.h"
#include "daemon/container/spec_compiler.h"
#include "daemon/events/event_log.h"
#include "daemon/nri/pod_networks.h"
#include "daemon/store/record_store.h"
#include "runtime/cgroup/cgroup_manager.h"
#include "runtime/host/supervisor_handle.h"

namespace ocid {

struct ManagerParts {
  ContainerManagerOptions options;  // compiler, supervisors and cgroups among them
  std::unique_ptr<RecordStore> store;
  std::unique_ptr<EventLog> events;
  std::unique_ptr<Timers> timers;
  std::unique_ptr<OomWatcher> oom_watcher;  // may be null; uses the timers
  std::unique_ptr<PodNetworks> networks;    // may be null
};

std::unique_ptr<ContainerManager> MakeContainerManager(ManagerParts parts);

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_MANAGER_PARTS_H_
