// The manager `systemd`: see cgroup_manager.h. A transient scope per container, delegated to us;
// what systemd has no property for is written below the scope. Thread-safe.
#ifndef OCID_RUNTIME_CGROUP_SYSTEMD_MANAGER_H_
#define OCID_RUNTIME_CGROUP_SYSTEMD_MANAGER_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/cgroup/cgroup_manager.h"
#include "runtime/cgroup/cgroup_path.h"
#include "runtime/cgroup/kernel_cgroup.h"
#include "runtime/cgroup/scope_anchor.h"
#include "runtime/cgroup/systemd_client.h"

namespace ocid {

class SystemdManager : public CgroupManager {
 public:
  // UNAVAILABLE if systemd does not answer on the bus.
  static absl::StatusOr<std::unique_ptr<CgroupManager>> Open(
      std::shared_ptr<const CgroupLayout> layout, const CgroupManagerOptions& options);

  CgroupManagerKind kind() const override { return CgroupManagerKind::kSystemd; }
  std::string Describe() const override;
  absl::Status Validate(std::string_view id, std::string_view cgroups_path,
                        const nlohmann::json& resources) const override;
  absl::StatusOr<std::unique_ptr<Cgroup>> Create(
      std::string_view id, std::string_view cgroups_path, const nlohmann::json& resources,
      const std::vector<UnitProperty>& unit_properties) override;
  absl::StatusOr<std::unique_ptr<Cgroup>> Open(std::string_view id,
                                               std::string_view cgroups_path) override;
  absl::StatusOr<UniqueFd> SupervisorCgroup() override;
  absl::Duration TimeWaited() const override { return client_->TimeSpent(); }

 private:
  SystemdManager(std::shared_ptr<const CgroupLayout> layout, CgroupManagerOptions options,
                 std::shared_ptr<SystemdClient> client)
      : layout_(std::move(layout)), options_(std::move(options)), client_(std::move(client)) {}

  KernelCgroupOptions Locate(const ScopeName& name) const;
  absl::Status StartScope(const ScopeName& name, pid_t pid,
                          const std::vector<UnitProperty>& properties);
  absl::Status BeginSupervisorScope() ABSL_EXCLUSIVE_LOCKS_REQUIRED(supervisor_mutex_);

  const std::shared_ptr<const CgroupLayout> layout_;
  const CgroupManagerOptions options_;
  const std::shared_ptr<SystemdClient> client_;

  Mutex supervisor_mutex_;
  std::optional<ScopeAnchor> supervisor_anchor_ ABSL_GUARDED_BY(supervisor_mutex_);
  UniqueFd supervisor_cgroup_ ABSL_GUARDED_BY(supervisor_mutex_);
};

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_SYSTEMD_MANAGER_H_
