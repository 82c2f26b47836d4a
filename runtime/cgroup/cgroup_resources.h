// Resources: linux.resources of an OCI spec, typed and checked.
//
// Pure. What is absent is absent here. Every violation found is reported, each with its JSON
// pointer: INVALID_ARGUMENT, RESOURCE_INVALID. As runc and crun do, 0 means "not set" for limits
// that cannot sensibly be 0 (memory, shares, quota, period, pids, weights), and -1 means "no
// limit". Source: runtime-spec config-linux.md "Control groups".
#ifndef OCID_RUNTIME_CGROUP_CGROUP_RESOURCES_H_
#define OCID_RUNTIME_CGROUP_CGROUP_RESOURCES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "runtime/cgroup/device_policy.h"

namespace ocid {

inline constexpr char kResourcesPointer[] = "/linux/resources";

struct MemoryResources {
  std::optional<int64_t> limit_bytes;  // -1: none
  std::optional<int64_t> reservation_bytes;
  std::optional<int64_t> swap_bytes;  // memory and swap together, as in v1
  std::optional<int64_t> kernel_bytes;
  std::optional<int64_t> kernel_tcp_bytes;
  std::optional<uint64_t> swappiness;
  bool disable_oom_killer = false;
  bool check_before_update = false;
};

struct CpuResources {
  std::optional<uint64_t> shares;
  std::optional<int64_t> quota_us;  // -1: none
  std::optional<uint64_t> period_us;
  std::optional<uint64_t> burst_us;
  std::optional<int64_t> realtime_runtime_us;
  std::optional<uint64_t> realtime_period_us;
  std::optional<int64_t> idle;  // 0 or 1
  std::string cpus;             // "0-3,7"
  std::string mems;
};

struct IoDeviceWeight {
  uint32_t major = 0;
  uint32_t minor = 0;
  std::optional<uint16_t> weight;
  std::optional<uint16_t> leaf_weight;
};

struct IoThrottle {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint64_t rate = 0;  // 0: no limit
};

struct IoResources {
  std::optional<uint16_t> weight;  // 10 to 1000
  std::optional<uint16_t> leaf_weight;
  std::vector<IoDeviceWeight> device_weights;
  std::vector<IoThrottle> read_bytes;
  std::vector<IoThrottle> write_bytes;
  std::vector<IoThrottle> read_operations;
  std::vector<IoThrottle> write_operations;
};

struct HugepageLimit {
  std::string page_size;  // "2MB"
  uint64_t limit_bytes = 0;
};

struct InterfacePriority {
  std::string name;
  uint32_t priority = 0;
};

struct RdmaLimit {
  std::optional<uint32_t> hca_handles;
  std::optional<uint32_t> hca_objects;
};

struct Resources {
  std::optional<DevicePolicy> devices;
  MemoryResources memory;
  CpuResources cpu;
  std::optional<int64_t> pids_limit;  // -1: none
  IoResources io;
  std::vector<HugepageLimit> hugepages;
  std::optional<uint32_t> network_class_id;
  std::vector<InterfacePriority> network_priorities;
  std::map<std::string, RdmaLimit> rdma;
  std::map<std::string, std::string> unified;
};

// `resources` may be null. Unknown members are ignored, as the specification asks.
absl::StatusOr<Resources> ParseResources(const nlohmann::json& resources);

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_CGROUP_RESOURCES_H_
