#include "runtime/cgroup/cgroup_manager.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/cgroup/cgroupfs_manager.h"
#include "runtime/cgroup/none_manager.h"
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
  if (options.kind == CgroupManagerKind::kSystemd) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "SYSTEMD_FAILED",
                     "cgroup manager \"systemd\": systemd is not PID 1 here");
  }
  absl::StatusOr<CgroupLayout> layout = ReadCgroupLayout();
  if (!layout.ok()) return layout.status();
  return CgroupfsManager::Open(std::make_shared<const CgroupLayout>(*std::move(layout)), options);
}

}  // namespace ocid
