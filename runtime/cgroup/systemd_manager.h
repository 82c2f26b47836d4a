// The manager `systemd`: see cgroup_manager.h. A transient scope per container, delegated to us;
// what systemd has no property for is written below the scope. Thread-safe.
#ifndef OCID_RUNTIME_CGROUP_SYSTEMD_MANAGER_H_
#define OCID_RUNTIME_CGROUP_SYSTEMD_MANAGER_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/cgroup/cgroup_manager.h"
#include "runtime/cgroup/cgroup_path.h"
#include "runtime/cgroup/kernel_cgroup.h"
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

 private:
  SystemdManager(std::shared_ptr<const CgroupLayout> layout, CgroupManagerOptions options,
                 std::shared_ptr<SystemdClient> client)
      : layout_(std::move(layout)), options_(std::move(options)), client_(std::move(client)) {}

  KernelCgroupOptions Locate(const ScopeName& name) const;

  const std::shared_ptr<const CgroupLayout> layout_;
  const CgroupManagerOptions options_;
  const std::shared_ptr<SystemdClient> client_;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_SYSTEMD_MANAGER_H_
