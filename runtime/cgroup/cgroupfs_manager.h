// The manager `cgroupfs`: see cgroup_manager.h. Thread-safe: it has no state but its options.
#ifndef OCID_RUNTIME_CGROUP_CGROUPFS_MANAGER_H_
#define OCID_RUNTIME_CGROUP_CGROUPFS_MANAGER_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/cgroup/cgroup_manager.h"
#include "runtime/cgroup/kernel_cgroup.h"

namespace ocid {

class CgroupfsManager : public CgroupManager {
 public:
  // FAILED_PRECONDITION without a cgroup2 mount: it tracks, freezes and kills.
  static absl::StatusOr<std::unique_ptr<CgroupManager>> Open(
      std::shared_ptr<const CgroupLayout> layout, const CgroupManagerOptions& options);

  CgroupManagerKind kind() const override { return CgroupManagerKind::kCgroupfs; }
  std::string Describe() const override;
  absl::Status Validate(std::string_view id, std::string_view cgroups_path,
                        const nlohmann::json& resources) const override;
  absl::StatusOr<std::unique_ptr<Cgroup>> Create(
      std::string_view id, std::string_view cgroups_path, const nlohmann::json& resources,
      const std::vector<UnitProperty>& unit_properties) override;
  absl::StatusOr<std::unique_ptr<Cgroup>> Open(std::string_view id,
                                               std::string_view cgroups_path) override;

 private:
  CgroupfsManager(std::shared_ptr<const CgroupLayout> layout, CgroupManagerOptions options)
      : layout_(std::move(layout)), options_(std::move(options)) {}

  absl::StatusOr<KernelCgroupOptions> Locate(std::string_view id,
                                             std::string_view cgroups_path) const;

  const std::shared_ptr<const CgroupLayout> layout_;
  const CgroupManagerOptions options_;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_CGROUPFS_MANAGER_H_
