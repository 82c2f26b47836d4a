// Settings: resources as writes to cgroup files.
//
// Pure. For each resource the hierarchy is chosen that has its controller, cgroup2 first.
// Conversions between v1's units, in which the OCI specification speaks, and v2's are those of runc
// (opencontainers/cgroups) and crun, so that a container gets the same share under each of them.
// Sources: cgroup-v2.rst, cgroup-v1/*.rst; opencontainers/cgroups utils.go; crun(1) "CGROUP v2".
#ifndef OCID_RUNTIME_CGROUP_CGROUP_SETTINGS_H_
#define OCID_RUNTIME_CGROUP_CGROUP_SETTINGS_H_

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/cgroup/cgroup_resources.h"

namespace ocid {

struct CgroupSetting {
  std::string controller;  // "memory"; "cgroup" for files that every cgroup has
  bool unified = false;    // in cgroup2, else in the v1 hierarchy of the controller
  std::string file;
  std::string value;
  std::string pointer;  // where it came from: "/linux/resources/memory/limit"
  // Written instead where `file` does not exist.
  std::string fallback_file = {};
  std::string fallback_value = {};

  friend bool operator==(const CgroupSetting&, const CgroupSetting&) = default;
};

// "v2 memory.max = 4096".
std::string DescribeCgroupSetting(const CgroupSetting& setting);

// A limit that nothing here can enforce.
struct UnenforcedLimit {
  std::string controller;
  std::string pointer;
  std::string why;  // "no cgroup hierarchy here has the controller rdma"

  friend bool operator==(const UnenforcedLimit&, const UnenforcedLimit&) = default;
};

struct CgroupSettings {
  std::vector<CgroupSetting> settings;  // in the order in which they must be written
  std::vector<UnenforcedLimit> unenforced;
  // Deprecated limits that no kernel has any more and nobody needs to enforce.
  std::vector<std::string> notes;
  // The policy goes into a BPF program on the cgroup2 directory.
  bool device_program = false;

  std::set<std::string> UnifiedControllers() const;
  std::set<std::string> V1Controllers() const;
};

CgroupSettings CompileSettings(const Resources& resources, const CgroupLayout& layout);

// cpu.shares (2 to 262144, default 1024) to cpu.weight (1 to 10000, default 100): the quadratic in
// log2 that maps minimum, maximum and default onto each other, as current runc and crun have it.
uint64_t CpuWeightFromShares(uint64_t shares);
// blkio weight (10 to 1000) to io.weight (1 to 10000), linear.
uint64_t IoWeightFromBlkioWeight(uint64_t weight);

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_CGROUP_SETTINGS_H_
