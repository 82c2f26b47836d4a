// CgroupLayout: which cgroup hierarchies are mounted where, and what each can limit.
//
// A value, read once at start. Thread-compatible.
// Sources: proc_pid_mountinfo(5), cgroups(7), cgroup-v2.rst "Mounting" and "Controllers".
#ifndef OCID_RUNTIME_CGROUP_CGROUP_LAYOUT_H_
#define OCID_RUNTIME_CGROUP_CGROUP_LAYOUT_H_

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace ocid {

struct V1Hierarchy {
  std::vector<std::string> controllers;  // {"cpu", "cpuacct"}; empty for a named hierarchy
  std::string name;                      // "systemd" of name=systemd, else empty
  std::string mount_point;

  // As the kernel writes it in /proc/PID/cgroup: "cpu,cpuacct", "name=systemd".
  std::string Label() const;

  friend bool operator==(const V1Hierarchy&, const V1Hierarchy&) = default;
};

enum class CgroupMode {
  kNone,     // nothing is mounted
  kLegacy,   // v1 alone
  kHybrid,   // cgroup2 beside v1 controllers
  kUnified,  // cgroup2 alone
};

std::string_view CgroupModeName(CgroupMode mode);

struct CgroupLayout {
  std::string unified_mount;                  // empty: cgroup2 is not mounted
  std::set<std::string> unified_controllers;  // cgroup.controllers at the mount
  std::vector<V1Hierarchy> v1;

  CgroupMode mode() const;
  // The v1 hierarchy with this controller, or null.
  const V1Hierarchy* FindV1(std::string_view controller) const;
  // "hybrid: cgroup2 at /sys/fs/cgroup/unified (hugetlb); v1 memory at /sys/fs/cgroup/memory".
  std::string Describe() const;
};

// From the text of mountinfo, without unified_controllers. Of several mounts of one hierarchy the
// first counts. A line that is not one of mountinfo is an error.
absl::StatusOr<CgroupLayout> ParseCgroupLayout(std::string_view mountinfo);

// Of this process.
absl::StatusOr<CgroupLayout> ReadCgroupLayout();

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_CGROUP_LAYOUT_H_
