#include <fcntl.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/cgroup/cgroup_files.h"
#include "runtime/cgroup/kernel_cgroup.h"
#include "runtime/cgroup/text.h"

namespace ocid {
namespace {

// v1 says "no limit" as the largest multiple of the page size.
constexpr uint64_t kV1NoLimit = uint64_t{1} << 62;
constexpr uint64_t kMicrosecond = 1000;

// The text, or nothing where the kernel has no such file or no such numbers.
std::optional<std::string> ReadIfThere(BorrowedFd directory, const std::string& file) {
  absl::StatusOr<std::string> text = ReadCgroupFile(directory, file);
  if (!text.ok()) return std::nullopt;
  return *std::move(text);
}

std::optional<uint64_t> ReadNumber(BorrowedFd directory, const std::string& file) {
  const std::optional<std::string> text = ReadIfThere(directory, file);
  return text ? ParseNumber<uint64_t>(StripSpace(*text)) : std::nullopt;
}

// A limit of either version; none is absent.
std::optional<uint64_t> ReadLimit(BorrowedFd directory, const std::string& file) {
  const std::optional<uint64_t> limit = ReadNumber(directory, file);
  return limit && *limit >= kV1NoLimit ? std::nullopt : limit;
}

std::map<std::string, uint64_t> ReadKeyed(BorrowedFd directory, const std::string& file) {
  const std::optional<std::string> text = ReadIfThere(directory, file);
  return text ? ParseFlatKeyed(*text) : std::map<std::string, uint64_t>();
}

uint64_t Get(const std::map<std::string, uint64_t>& values, const char* key) {
  const auto found = values.find(key);
  return found == values.end() ? 0 : found->second;
}

const CgroupPart* FindPart(const std::vector<CgroupPart>& parts, std::string_view controller) {
  for (const CgroupPart& part : parts) {
    for (const std::string& candidate : part.controllers) {
      if (candidate == controller) return &part;
    }
  }
  return nullptr;
}

std::optional<CpuStats> ReadCpu(const std::vector<CgroupPart>& parts) {
  const auto unified = ReadKeyed(parts[0].directory, "cpu.stat");
  if (!unified.contains("usage_usec")) return std::nullopt;
  CpuStats cpu;
  cpu.usage_ns = Get(unified, "usage_usec") * kMicrosecond;
  cpu.user_ns = Get(unified, "user_usec") * kMicrosecond;
  cpu.system_ns = Get(unified, "system_usec") * kMicrosecond;
  cpu.periods = Get(unified, "nr_periods");
  cpu.throttled_periods = Get(unified, "nr_throttled");
  cpu.throttled_ns = Get(unified, "throttled_usec") * kMicrosecond;
  if (const CgroupPart* const part = FindPart(parts, "cpu")) {
    const auto v1 = ReadKeyed(part->directory, "cpu.stat");
    cpu.periods = Get(v1, "nr_periods");
    cpu.throttled_periods = Get(v1, "nr_throttled");
    cpu.throttled_ns = Get(v1, "throttled_time");
  }
  return cpu;
}

std::optional<MemoryStats> ReadMemoryV2(BorrowedFd directory) {
  const std::optional<uint64_t> usage = ReadNumber(directory, "memory.current");
  if (!usage) return std::nullopt;
  const auto events = ReadKeyed(directory, "memory.events");
  MemoryStats memory;
  memory.usage_bytes = *usage;
  memory.peak_bytes = ReadNumber(directory, "memory.peak");
  memory.limit_bytes = ReadLimit(directory, "memory.max");
  memory.swap_usage_bytes = ReadNumber(directory, "memory.swap.current");
  memory.swap_limit_bytes = ReadLimit(directory, "memory.swap.max");
  memory.oom_kills = Get(events, "oom_kill");
  memory.limit_hits = Get(events, "max");
  memory.details = ReadKeyed(directory, "memory.stat");
  return memory;
}

std::optional<MemoryStats> ReadMemoryV1(BorrowedFd directory) {
  const std::optional<uint64_t> usage = ReadNumber(directory, "memory.usage_in_bytes");
  if (!usage) return std::nullopt;
  MemoryStats memory;
  memory.usage_bytes = *usage;
  memory.peak_bytes = ReadNumber(directory, "memory.max_usage_in_bytes");
  memory.limit_bytes = ReadLimit(directory, "memory.limit_in_bytes");
  const std::optional<uint64_t> both = ReadNumber(directory, "memory.memsw.usage_in_bytes");
  if (both) memory.swap_usage_bytes = *both > *usage ? *both - *usage : 0;
  const std::optional<uint64_t> both_limit = ReadLimit(directory, "memory.memsw.limit_in_bytes");
  if (both_limit && memory.limit_bytes) {
    memory.swap_limit_bytes = *both_limit - *memory.limit_bytes;
  }
  memory.oom_kills = Get(ReadKeyed(directory, "memory.oom_control"), "oom_kill");
  memory.limit_hits = ReadNumber(directory, "memory.failcnt").value_or(0);
  memory.details = ReadKeyed(directory, "memory.stat");
  return memory;
}

std::optional<PidsStats> ReadPids(BorrowedFd directory) {
  const std::optional<uint64_t> current = ReadNumber(directory, "pids.current");
  if (!current) return std::nullopt;
  return PidsStats{*current, ReadLimit(directory, "pids.max")};
}

absl::StatusOr<std::optional<std::vector<IoDeviceStats>>> ReadIo(
    const std::vector<CgroupPart>& parts) {
  absl::StatusOr<std::vector<IoDeviceStats>> devices;
  const std::optional<std::string> unified = ReadIfThere(parts[0].directory, "io.stat");
  const CgroupPart* const part = FindPart(parts, "blkio");
  if (unified) {
    devices = ParseIoStat(*unified);
  } else if (part != nullptr) {
    const auto bytes = ReadIfThere(part->directory, "blkio.throttle.io_service_bytes_recursive");
    const auto operations = ReadIfThere(part->directory, "blkio.throttle.io_serviced_recursive");
    if (!bytes || !operations) return std::nullopt;
    devices = ParseBlkio(*bytes, *operations);
  } else {
    return std::nullopt;
  }
  if (!devices.ok()) return devices.status();
  return std::optional(*std::move(devices));
}

// "2MB" for 2048 KiB, as the kernel writes it in the names of the files.
std::string PageSizeName(uint64_t kibibytes) {
  if (kibibytes >= 1 << 20) return absl::StrCat(kibibytes >> 20, "GB");
  if (kibibytes >= 1 << 10) return absl::StrCat(kibibytes >> 10, "MB");
  return absl::StrCat(kibibytes, "KB");
}

std::vector<HugetlbStats> ReadHugetlb(const std::vector<CgroupPart>& parts) {
  std::vector<HugetlbStats> all;
  const CgroupPart* const v1 = FindPart(parts, "hugetlb");
  // Sizes are powers of two; the kernel has no list of them in the cgroup.
  for (uint64_t kibibytes = 16; kibibytes <= uint64_t{16} << 20; kibibytes *= 2) {
    HugetlbStats stats;
    stats.page_size = PageSizeName(kibibytes);
    const std::string prefix = absl::StrCat("hugetlb.", stats.page_size, ".");
    std::optional<uint64_t> usage = ReadNumber(parts[0].directory, prefix + "current");
    if (usage) {
      stats.limit_bytes = ReadLimit(parts[0].directory, prefix + "max");
      stats.limit_hits = Get(ReadKeyed(parts[0].directory, prefix + "events"), "max");
    } else if (v1 != nullptr) {
      usage = ReadNumber(v1->directory, prefix + "usage_in_bytes");
      stats.limit_bytes = ReadLimit(v1->directory, prefix + "limit_in_bytes");
      stats.limit_hits = ReadNumber(v1->directory, prefix + "failcnt").value_or(0);
    }
    if (!usage) continue;
    stats.usage_bytes = *usage;
    all.push_back(std::move(stats));
  }
  return all;
}

std::optional<Pressure> ReadPressure(BorrowedFd directory, const std::string& file) {
  const std::optional<std::string> text = ReadIfThere(directory, file);
  if (!text) return std::nullopt;
  absl::StatusOr<Pressure> pressure = ParsePressure(*text);
  if (!pressure.ok()) return std::nullopt;
  return *pressure;
}

}  // namespace

absl::StatusOr<CgroupStats> ReadCgroupStats(const std::vector<CgroupPart>& parts) {
  const BorrowedFd unified = parts[0].directory;
  // A cgroup that is gone is an error, not one without numbers.
  const absl::StatusOr<CgroupEventValues> there = ReadCgroupEvents(unified);
  if (!there.ok()) return there.status();
  CgroupStats stats;
  stats.cpu = ReadCpu(parts);
  stats.memory = ReadMemoryV2(unified);
  const CgroupPart* const memory = FindPart(parts, "memory");
  if (!stats.memory && memory != nullptr) stats.memory = ReadMemoryV1(memory->directory);
  stats.pids = ReadPids(unified);
  const CgroupPart* const pids = FindPart(parts, "pids");
  if (!stats.pids && pids != nullptr) stats.pids = ReadPids(pids->directory);
  auto io = ReadIo(parts);
  if (!io.ok()) return io.status();
  stats.io = *std::move(io);
  stats.hugetlb = ReadHugetlb(parts);
  stats.cpu_pressure = ReadPressure(unified, "cpu.pressure");
  stats.memory_pressure = ReadPressure(unified, "memory.pressure");
  stats.io_pressure = ReadPressure(unified, "io.pressure");
  return stats;
}

absl::StatusOr<UniqueFd> OpenOomKills(const std::vector<CgroupPart>& parts) {
  absl::StatusOr<UniqueFd> unified =
      OpenCgroupFile(parts[0].directory, "memory.events", O_RDONLY);
  const CgroupPart* const v1 = FindPart(parts, "memory");
  if (v1 == nullptr || !absl::IsNotFound(unified.status())) return unified;
  return OpenCgroupFile(v1->directory, "memory.oom_control", O_RDONLY);
}

absl::StatusOr<uint64_t> ReadOomKills(const std::vector<CgroupPart>& parts) {
  const absl::StatusOr<UniqueFd> file = OpenOomKills(parts);
  if (absl::IsNotFound(file.status())) return 0;
  if (!file.ok()) return file.status();
  const absl::StatusOr<std::string> text = ReadOpenCgroupFile(*file, "oom_kill");
  if (!text.ok()) return text.status();
  return Get(ParseFlatKeyed(*text), "oom_kill");
}

}  // namespace ocid
