#include "runtime/cgroup/cgroupfs_manager.h"

#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/cgroup_path.h"
#include "runtime/cgroup/text.h"

namespace ocid {

absl::StatusOr<std::unique_ptr<CgroupManager>> CgroupfsManager::Open(
    std::shared_ptr<const CgroupLayout> layout, const CgroupManagerOptions& options) {
  if (layout->unified_mount.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "CONTROLLER_MISSING",
                     absl::StrCat("cgroup2 is not mounted (", layout->Describe(),
                                  "); mount it, as with: mount -t cgroup2 none "
                                  "/sys/fs/cgroup/unified"),
                     {{"controller", "cgroup2"}});
  }
  // Refuses a parent that no container could be below.
  const absl::StatusOr<std::string> parent = ResolveCgroupPath(options.parent, "id", "");
  if (!parent.ok()) return parent.status();
  return std::unique_ptr<CgroupManager>(new CgroupfsManager(std::move(layout), options));
}

std::string CgroupfsManager::Describe() const {
  return absl::StrCat("cgroupfs, ", layout_->Describe());
}

absl::StatusOr<KernelCgroupOptions> CgroupfsManager::Locate(std::string_view id,
                                                            std::string_view cgroups_path) const {
  absl::StatusOr<std::string> path = ResolveCgroupPath(options_.parent, id, cgroups_path);
  if (!path.ok()) return path.status();
  KernelCgroupOptions located;
  located.layout = layout_;
  located.allow_missing_controllers = options_.allow_missing_controllers;
  located.accounting = options_.accounting;
  located.unified_accounting = {"cpu", "io", "memory", "pids"};
  // Ours are the last component of `parent` and all below it; of an absolute path the leaf alone.
  const size_t depth = SplitText(*path, '/').size();
  const size_t parent_depth = SplitText(options_.parent, '/').size();
  located.foreign_parents = cgroups_path.starts_with('/') ? depth - 1
                            : parent_depth > 0            ? parent_depth - 1
                                                          : 0;
  located.path = *std::move(path);
  return located;
}

absl::Status CgroupfsManager::Validate(std::string_view id, std::string_view cgroups_path,
                                       const nlohmann::json& document) const {
  const absl::StatusOr<KernelCgroupOptions> located = Locate(id, cgroups_path);
  if (!located.ok()) return located.status();
  const absl::StatusOr<Resources> resources = ParseResources(document);
  if (!resources.ok()) return resources.status();
  CgroupSettings settings;
  return KernelCgroup::Check(*layout_, options_.allow_missing_controllers, *resources, settings);
}

absl::StatusOr<std::unique_ptr<Cgroup>> CgroupfsManager::Create(
    std::string_view id, std::string_view cgroups_path, const nlohmann::json& document,
    const std::vector<UnitProperty>& /*unit_properties*/) {
  absl::StatusOr<KernelCgroupOptions> located = Locate(id, cgroups_path);
  if (!located.ok()) return located.status();
  const absl::StatusOr<Resources> resources = ParseResources(document);
  if (!resources.ok()) return resources.status();
  return KernelCgroup::Create(*std::move(located), *resources);
}

absl::StatusOr<std::unique_ptr<Cgroup>> CgroupfsManager::Open(std::string_view id,
                                                              std::string_view cgroups_path) {
  absl::StatusOr<KernelCgroupOptions> located = Locate(id, cgroups_path);
  if (!located.ok()) return located.status();
  return KernelCgroup::Open(*std::move(located));
}

}  // namespace ocid
