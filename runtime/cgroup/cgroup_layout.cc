#include "runtime/cgroup/cgroup_layout.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/cgroup/text.h"

namespace ocid {
namespace {

// Whatever else stands in a v1 mount's options (rw, xattr, clone_children, release_agent=...) is
// not a controller.
constexpr std::array<std::string_view, 14> kV1Controllers = {
    "cpu",  "cpuacct", "cpuset",   "memory",  "devices", "freezer", "blkio",
    "pids", "net_cls", "net_prio", "hugetlb", "rdma",    "misc",    "perf_event"};

// Mountinfo writes space, tab, newline and backslash as \ooo.
std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto is_octal = [&](size_t at) { return text[at] >= '0' && text[at] <= '7'; };
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(i + 1) && is_octal(i + 2) &&
        is_octal(i + 3)) {
      out.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                      (text[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

V1Hierarchy ParseV1(std::string_view super_options, std::string mount_point) {
  V1Hierarchy hierarchy;
  hierarchy.mount_point = std::move(mount_point);
  for (const std::string_view option : SplitText(super_options, ',')) {
    if (option.starts_with("name=")) hierarchy.name = option.substr(5);
    if (std::find(kV1Controllers.begin(), kV1Controllers.end(), option) != kV1Controllers.end()) {
      hierarchy.controllers.emplace_back(option);
    }
  }
  return hierarchy;
}

std::optional<std::string> ReadWhole(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

std::string V1Hierarchy::Label() const {
  std::string label = absl::StrJoin(controllers, ",");
  if (!name.empty()) absl::StrAppend(&label, label.empty() ? "" : ",", "name=", name);
  return label;
}

std::string_view CgroupModeName(CgroupMode mode) {
  switch (mode) {
    case CgroupMode::kNone:
      return "none";
    case CgroupMode::kLegacy:
      return "legacy";
    case CgroupMode::kHybrid:
      return "hybrid";
    case CgroupMode::kUnified:
      return "unified";
  }
  return "unknown";
}

CgroupMode CgroupLayout::mode() const {
  if (unified_mount.empty()) return v1.empty() ? CgroupMode::kNone : CgroupMode::kLegacy;
  return v1.empty() ? CgroupMode::kUnified : CgroupMode::kHybrid;
}

const V1Hierarchy* CgroupLayout::FindV1(std::string_view controller) const {
  for (const V1Hierarchy& hierarchy : v1) {
    for (const std::string& candidate : hierarchy.controllers) {
      if (candidate == controller) return &hierarchy;
    }
  }
  return nullptr;
}

std::string CgroupLayout::Describe() const {
  std::vector<std::string> parts;
  if (!unified_mount.empty()) {
    parts.push_back(absl::StrCat(
        "cgroup2 at ", unified_mount, " (",
        unified_controllers.empty() ? "no controllers" : absl::StrJoin(unified_controllers, " "),
        ")"));
  }
  for (const V1Hierarchy& hierarchy : v1) {
    parts.push_back(absl::StrCat("v1 ", hierarchy.Label(), " at ", hierarchy.mount_point));
  }
  return absl::StrCat(AsAbsl(CgroupModeName(mode())), parts.empty() ? "" : ": ",
                      absl::StrJoin(parts, "; "));
}

absl::StatusOr<CgroupLayout> ParseCgroupLayout(std::string_view mountinfo) {
  CgroupLayout layout;
  for (const std::string_view line : SplitText(mountinfo, '\n')) {
    // 41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup rw
    const size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) {
      return absl::DataLossError(absl::StrCat("malformed mountinfo: \"", AsAbsl(line), "\""));
    }
    const std::vector<std::string_view> before = SplitText(line.substr(0, dash), ' ');
    const std::vector<std::string_view> after = SplitText(line.substr(dash + 3), ' ');
    if (before.size() < 6 || after.empty()) {
      return absl::DataLossError(absl::StrCat("malformed mountinfo: \"", AsAbsl(line), "\""));
    }
    const std::string_view type = after[0];
    if (type == "cgroup2" && layout.unified_mount.empty()) {
      layout.unified_mount = Unescape(before[4]);
    } else if (type == "cgroup") {
      V1Hierarchy hierarchy = ParseV1(after.back(), Unescape(before[4]));
      const bool known =
          std::any_of(layout.v1.begin(), layout.v1.end(),
                      [&](const V1Hierarchy& other) { return other.Label() == hierarchy.Label(); });
      if (!known) layout.v1.push_back(std::move(hierarchy));
    }
  }
  return layout;
}

absl::StatusOr<CgroupLayout> ReadCgroupLayout() {
  const std::optional<std::string> mountinfo = ReadWhole("/proc/self/mountinfo");
  if (!mountinfo) return absl::UnavailableError("cannot read /proc/self/mountinfo");
  absl::StatusOr<CgroupLayout> layout = ParseCgroupLayout(*mountinfo);
  if (!layout.ok() || layout->unified_mount.empty()) return layout;
  const std::string file = layout->unified_mount + "/cgroup.controllers";
  const std::optional<std::string> controllers = ReadWhole(file);
  if (!controllers) return absl::UnavailableError(absl::StrCat("cannot read ", file));
  for (const std::string_view controller : SplitText(StripSpace(*controllers), ' ')) {
    layout->unified_controllers.emplace(controller);
  }
  return layout;
}

}  // namespace ocid
