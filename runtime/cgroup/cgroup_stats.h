// CgroupStats: what the kernel counts for one container, as plain values.
//
// A group of numbers is absent where no hierarchy of the container counts it: without a limit a
// container on a hybrid host has no v1 cgroup, hence no memory numbers. Times are in nanoseconds,
// sizes in bytes; "max" (no limit) is an absent value. Pure parsers of the kernel's formats are
// here too, so that they can be tested on text and fuzzed.
//
// Sources: cgroup-v2.rst, accounting/psi.rst, cgroup-v1/{memory,cpuacct,blkio-controller,pids}.rst.
#ifndef OCID_RUNTIME_CGROUP_CGROUP_STATS_H_
#define OCID_RUNTIME_CGROUP_CGROUP_STATS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace ocid {

// One line of a pressure file.
struct PressureLine {
  double avg10 = 0;  // per cent of the last 10, 60, 300 seconds
  double avg60 = 0;
  double avg300 = 0;
  uint64_t total_ns = 0;

  friend bool operator==(const PressureLine&, const PressureLine&) = default;
};

struct Pressure {
  PressureLine some;
  PressureLine full;

  friend bool operator==(const Pressure&, const Pressure&) = default;
};

struct CpuStats {
  uint64_t usage_ns = 0;
  uint64_t user_ns = 0;
  uint64_t system_ns = 0;
  uint64_t periods = 0;  // of the quota; 0 without one
  uint64_t throttled_periods = 0;
  uint64_t throttled_ns = 0;
};

struct MemoryStats {
  uint64_t usage_bytes = 0;
  std::optional<uint64_t> peak_bytes;
  std::optional<uint64_t> limit_bytes;
  std::optional<uint64_t> swap_usage_bytes;  // swap alone, also on v1
  std::optional<uint64_t> swap_limit_bytes;
  uint64_t oom_kills = 0;
  uint64_t limit_hits = 0;                  // v2 memory.events "max", v1 memory.failcnt
  std::map<std::string, uint64_t> details;  // memory.stat as it is; names differ between v1 and v2
};

struct PidsStats {
  uint64_t current = 0;
  std::optional<uint64_t> limit;
};

struct IoDeviceStats {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint64_t read_bytes = 0;
  uint64_t write_bytes = 0;
  uint64_t read_operations = 0;
  uint64_t write_operations = 0;
  uint64_t discard_bytes = 0;
  uint64_t discard_operations = 0;

  friend bool operator==(const IoDeviceStats&, const IoDeviceStats&) = default;
};

struct HugetlbStats {
  std::string page_size;  // "2MB"
  uint64_t usage_bytes = 0;
  std::optional<uint64_t> limit_bytes;
  uint64_t limit_hits = 0;
};

struct CgroupStats {
  std::optional<CpuStats> cpu;
  std::optional<MemoryStats> memory;
  std::optional<PidsStats> pids;
  std::optional<std::vector<IoDeviceStats>> io;
  std::vector<HugetlbStats> hugetlb;
  std::optional<Pressure> cpu_pressure;
  std::optional<Pressure> memory_pressure;
  std::optional<Pressure> io_pressure;
};

// "name value" a line, as cpu.stat, memory.stat and *.events have. Lines of another shape are left
// out: kernels add to these files.
std::map<std::string, uint64_t> ParseFlatKeyed(std::string_view text);
// A number, or "max", which is an absent value.
absl::StatusOr<std::optional<uint64_t>> ParseLimit(std::string_view text);
// "some avg10=0.00 avg60=0.00 avg300=0.00 total=0", and "full" likewise, which older kernels leave
// out of cpu.pressure.
absl::StatusOr<Pressure> ParsePressure(std::string_view text);
// v2 io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6".
absl::StatusOr<std::vector<IoDeviceStats>> ParseIoStat(std::string_view text);
// v1 blkio.throttle.io_service_bytes_recursive and io_serviced_recursive: "8:0 Read 4096".
absl::StatusOr<std::vector<IoDeviceStats>> ParseBlkio(std::string_view bytes,
                                                      std::string_view operations);

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_CGROUP_STATS_H_
