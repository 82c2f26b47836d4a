#include "runtime/cgroup/cgroup_manager.h"

#include <systemd/sd-daemon.h>

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/cgroup/cgroupfs_manager.h"
#include "runtime/cgroup/none_manager.h"
#include "runtime/cgroup/systemd_manager.h"
#include "runtime/cgroup/text.h"

namespace ocid {
namespace {

constexpr std::array<std::pair<CgroupManagerKind, std::string_view>, 4> kKinds = {{
    {CgroupManagerKind::kAuto, "auto"},
    {CgroupManagerKind::kSystemd, "systemd"},
    {CgroupManagerKind::kCgroupfs, "cgroupfs"},
    {CgroupManagerKind::kNone, "none"},
}};

}  // namespace

std::string_view CgroupManagerKindName(CgroupManagerKind kind) {
  for (const auto& [value, name] : kKinds) {
    if (value == kind) return name;
  }
  return "unknown";
}

absl::StatusOr<CgroupManagerKind> ParseCgroupManagerKind(std::string_view name) {
  for (const auto& [value, known] : kKinds) {
    if (known == name) return value;
  }
  return absl::InvalidArgumentError(absl::StrCat("cgroup manager \"", AsAbsl(name),
                                                 "\": must be auto, systemd, cgroupfs or none"));
}

absl::StatusOr<std::unique_ptr<CgroupManager>> CgroupManager::Open(
    const CgroupManagerOptions& options) {
  if (options.kind == CgroupManagerKind::kNone) return MakeNoneManager(options);
  absl::StatusOr<CgroupLayout> read = ReadCgroupLayout();
  if (!read.ok()) return read.status();
  if (options.prefer_device_programs && !read->unified_mount.empty()) {
    std::erase_if(read->v1, [](const V1Hierarchy& hierarchy) {
      return hierarchy.controllers == std::vector<std::string>{"devices"};
    });
  }
  const auto layout = std::make_shared<const CgroupLayout>(*std::move(read));
  if (options.kind == CgroupManagerKind::kSystemd) return SystemdManager::Open(layout, options);
  if (options.kind == CgroupManagerKind::kAuto && sd_booted() > 0) {
    absl::StatusOr<std::unique_ptr<CgroupManager>> systemd = SystemdManager::Open(layout, options);
    if (!absl::IsUnavailable(systemd.status())) return systemd;
  }
  return CgroupfsManager::Open(layout, options);
}

}  // namespace ocid
