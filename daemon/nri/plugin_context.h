// PluginContext: what everything about plugins works with, and what plugins may do to containers.
//
// Owned by NriHost, which outlives all pods and operations. Thread-safe.
#ifndef OCID_DAEMON_NRI_PLUGIN_CONTEXT_H_
#define OCID_DAEMON_NRI_PLUGIN_CONTEXT_H_

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "daemon/nri/plugin_calls.h"
#include "daemon/nri/plugin_policy.h"
#include "daemon/nri/pod_networks.h"
#include "daemon/nri/plugin_table.h"

namespace ocid {

// The containers, as plugins reach them. Thread-safe; nothing blocks.
class PluginTargets {
 public:
  virtual ~PluginTargets() = default;

  // Changes the live resources of a container. `plugins`: who asked, for its event and for logs. `done`
  // is called once, with NOT_FOUND where there is no such container; also while the container's own
  // operation waits for a plugin's answer.
  virtual void UpdateFromPlugin(const std::string& container_id, const nri::LinuxResources& resources,
                                const std::string& plugin,
                                std::function<void(absl::Status)> done) = 0;

  // Stops a container at once. Failures are logged.
  virtual void EvictForPlugin(const std::string& container_id, const std::string& reason,
                              const std::string& plugin) = 0;
};

struct PluginContext {
  PluginPolicies policies;
  PluginTable table;
  std::atomic<PluginTargets*> targets{nullptr};  // set by who has the containers; null: nobody
  // Set along with it, before the first create; null: pods have no network before their containers.
  PodNetworks* networks = nullptr;

  // FAILED_PRECONDITION, PLUGIN_FAILED, while a required plugin is not there.
  absl::Status CheckRequired() const;

  // Applies what `plugin` asked for; `done` gets the updates that failed and why the first did, when all
  // have ended. Updates of unknown containers, and failures that are to be ignored, are left out.
  struct UpdateOutcome {
    std::vector<nri::ContainerUpdate> failed;
    absl::Status first_error;
  };
  void Apply(const std::vector<nri::ContainerUpdate>& updates,
             const std::vector<nri::ContainerEviction>& evictions, const std::string& plugin,
             std::function<void(const UpdateOutcome&)> done);
};

// How a call that did not succeed ends the operation that made it: an error, or OK where the policy lets
// it go on without the plugin.
absl::Status JudgeFailure(const Plugin& plugin, std::string_view method, const RpcResult& result);

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_PLUGIN_CONTEXT_H_
