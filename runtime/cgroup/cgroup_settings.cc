#include "runtime/cgroup/cgroup_settings.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/cgroup/text.h"

namespace ocid {
namespace {

std::string At(std::string_view below) { return absl::StrCat(kResourcesPointer, AsAbsl(below)); }

std::string MaxOr(int64_t value) { return value < 0 ? "max" : absl::StrCat(value); }
std::string MaxOrRate(uint64_t value) { return value == 0 ? "max" : absl::StrCat(value); }

class Compiler {
 public:
  Compiler(const Resources& resources, const CgroupLayout& layout)
      : resources_(resources), layout_(layout) {}

  CgroupSettings Run() && {
    CompileDevices();
    CompileMemory();
    CompileCpu();
    CompileCpuset();
    CompilePids();
    CompileIo();
    CompileHugepages();
    CompileNetwork();
    CompileRdma();
    CompileUnified();
    return std::move(out_);
  }

 private:
  bool HasV2(const std::string& controller) const {
    return layout_.unified_controllers.contains(controller);
  }
  bool HasV1(std::string_view controller) const { return layout_.FindV1(controller) != nullptr; }

  void AddV2(const char* controller, std::string file, std::string value,
             std::string_view pointer) {
    out_.settings.push_back({controller, true, std::move(file), std::move(value), At(pointer)});
  }
  void AddV1(const char* controller, std::string file, std::string value,
             std::string_view pointer) {
    out_.settings.push_back({controller, false, std::move(file), std::move(value), At(pointer)});
  }
  void WithFallback(std::string file, std::string value) {
    out_.settings.back().fallback_file = std::move(file);
    out_.settings.back().fallback_value = std::move(value);
  }

  void Missing(const char* controller, std::string_view pointer) {
    Unenforced(controller, pointer,
               absl::StrCat("no cgroup hierarchy here has the controller ", controller));
  }
  void OnlyV1(const char* controller, std::string_view pointer) {
    Unenforced(controller, pointer,
               absl::StrCat("the controller ", controller, " has no such limit in cgroup v2"));
  }
  void Unenforced(const char* controller, std::string_view pointer, std::string why) {
    out_.unenforced.push_back({controller, At(pointer), std::move(why)});
  }

  // One value with a file of its own in each version.
  void Simple(const char* controller, const char* v2_file, std::string v2_value,
              const char* v1_file, std::string v1_value, std::string_view pointer) {
    if (HasV2(controller)) {
      AddV2(controller, v2_file, std::move(v2_value), pointer);
    } else if (HasV1(controller)) {
      AddV1(controller, v1_file, std::move(v1_value), pointer);
    } else {
      Missing(controller, pointer);
    }
  }

  // A value that only v1 can hold.
  void V1Only(const char* controller, const char* file, std::string value,
              std::string_view pointer) {
    if (HasV2(controller)) {
      OnlyV1(controller, pointer);
    } else if (HasV1(controller)) {
      AddV1(controller, file, std::move(value), pointer);
    } else {
      Missing(controller, pointer);
    }
  }

  void CompileDevices() {
    if (!resources_.devices) return;
    if (!HasV1("devices")) {
      if (layout_.unified_mount.empty()) return Missing("devices", "/devices");
      out_.device_program = true;
      return;
    }
    // A new v1 cgroup has its parent's permissions; the list starts from none.
    AddV1("devices", "devices.deny", "a *:* rwm", "/devices");
    for (size_t i = 0; i < resources_.devices->size(); ++i) {
      const DeviceRule& rule = (*resources_.devices)[i];
      AddV1("devices", rule.allow ? "devices.allow" : "devices.deny", DescribeDeviceRule(rule),
            absl::StrCat("/devices/", i));
    }
  }

  void CompileMemory() {
    const MemoryResources& memory = resources_.memory;
    if (memory.limit_bytes) {
      Simple("memory", "memory.max", MaxOr(*memory.limit_bytes), "memory.limit_in_bytes",
             absl::StrCat(*memory.limit_bytes), "/memory/limit");
    }
    CompileSwap(memory);
    if (memory.reservation_bytes) {
      // v2's memory.low is what v1's soft limit was meant to be: what is left in reclaim.
      Simple("memory", "memory.low", MaxOr(*memory.reservation_bytes), "memory.soft_limit_in_bytes",
             absl::StrCat(*memory.reservation_bytes), "/memory/reservation");
    }
    if (memory.kernel_bytes) {
      Kernel("memory.kmem.limit_in_bytes", *memory.kernel_bytes, "/memory/kernel");
    }
    if (memory.kernel_tcp_bytes) {
      Kernel("memory.kmem.tcp.limit_in_bytes", *memory.kernel_tcp_bytes, "/memory/kernelTCP");
    }
    if (memory.swappiness) {
      V1Only("memory", "memory.swappiness", absl::StrCat(*memory.swappiness), "/memory/swappiness");
    }
    if (memory.disable_oom_killer) {
      V1Only("memory", "memory.oom_control", "1", "/memory/disableOOMKiller");
    }
  }

  // v1 and the specification count memory and swap together; v2 counts swap alone.
  void CompileSwap(const MemoryResources& memory) {
    if (!memory.swap_bytes) {
      // Without a limit of memory none of swap is meant either (runc).
      if (memory.limit_bytes == -1 && HasV2("memory")) {
        AddV2("memory", "memory.swap.max", "max", "/memory/limit");
      }
      return;
    }
    const int64_t both = *memory.swap_bytes;
    const int64_t alone =
        both < 0 ? -1 : both - std::max<int64_t>(memory.limit_bytes.value_or(0), 0);
    Simple("memory", "memory.swap.max", MaxOr(alone), "memory.memsw.limit_in_bytes",
           absl::StrCat(both), "/memory/swap");
  }

  // Deprecated by the specification, and by every kernel since 5.11 counted in the memory limit.
  void Kernel(const char* file, int64_t value, std::string_view pointer) {
    if (HasV2("memory") || !HasV1("memory")) {
      out_.notes.push_back(
          absl::StrCat(At(pointer), ": deprecated, part of the memory limit here"));
      return;
    }
    AddV1("memory", file, absl::StrCat(value), pointer);
  }

  void CompileCpu() {
    const CpuResources& cpu = resources_.cpu;
    if (cpu.shares) {
      Simple("cpu", "cpu.weight", absl::StrCat(CpuWeightFromShares(*cpu.shares)), "cpu.shares",
             absl::StrCat(*cpu.shares), "/cpu/shares");
    }
    if (cpu.idle) {
      const std::string idle = absl::StrCat(*cpu.idle);
      Simple("cpu", "cpu.idle", idle, "cpu.idle", idle, "/cpu/idle");
    }
    if (HasV2("cpu")) {
      if (cpu.quota_us || cpu.period_us) {
        std::string value = MaxOr(cpu.quota_us.value_or(-1));
        if (cpu.period_us) absl::StrAppend(&value, " ", *cpu.period_us);
        AddV2("cpu", "cpu.max", value, cpu.quota_us ? "/cpu/quota" : "/cpu/period");
      }
    } else {
      if (cpu.period_us) {
        Simple("cpu", "", "", "cpu.cfs_period_us", absl::StrCat(*cpu.period_us), "/cpu/period");
      }
      if (cpu.quota_us) {
        Simple("cpu", "", "", "cpu.cfs_quota_us", absl::StrCat(*cpu.quota_us), "/cpu/quota");
      }
    }
    if (cpu.burst_us) {
      const std::string burst = absl::StrCat(*cpu.burst_us);
      Simple("cpu", "cpu.max.burst", burst, "cpu.cfs_burst_us", burst, "/cpu/burst");
    }
    if (cpu.realtime_period_us) {
      V1Only("cpu", "cpu.rt_period_us", absl::StrCat(*cpu.realtime_period_us),
             "/cpu/realtimePeriod");
    }
    if (cpu.realtime_runtime_us) {
      V1Only("cpu", "cpu.rt_runtime_us", absl::StrCat(*cpu.realtime_runtime_us),
             "/cpu/realtimeRuntime");
    }
  }

  void CompileCpuset() {
    const CpuResources& cpu = resources_.cpu;
    if (!cpu.cpus.empty()) {
      Simple("cpuset", "cpuset.cpus", cpu.cpus, "cpuset.cpus", cpu.cpus, "/cpu/cpus");
    }
    if (!cpu.mems.empty()) {
      Simple("cpuset", "cpuset.mems", cpu.mems, "cpuset.mems", cpu.mems, "/cpu/mems");
    }
  }

  void CompilePids() {
    if (!resources_.pids_limit) return;
    const std::string limit = MaxOr(*resources_.pids_limit);
    Simple("pids", "pids.max", limit, "pids.max", limit, "/pids/limit");
  }

  void CompileIo() {
    const IoResources& io = resources_.io;
    const bool any = io.weight || io.leaf_weight || !io.device_weights.empty() ||
                     !io.read_bytes.empty() || !io.write_bytes.empty() ||
                     !io.read_operations.empty() || !io.write_operations.empty();
    if (!any) return;
    if (HasV2("io")) {
      CompileIoV2(io);
    } else if (HasV1("blkio")) {
      CompileIoV1(io);
    } else {
      Missing("io", "/blockIO");
    }
  }

  void CompileIoV2(const IoResources& io) {
    // The BFQ scheduler's weights have the old range; io.weight is the cost model's.
    if (io.weight) {
      AddV2("io", "io.bfq.weight", absl::StrCat(*io.weight), "/blockIO/weight");
      WithFallback("io.weight", absl::StrCat("default ", IoWeightFromBlkioWeight(*io.weight)));
    }
    if (io.leaf_weight) OnlyV1("io", "/blockIO/leafWeight");
    for (size_t i = 0; i < io.device_weights.size(); ++i) {
      const IoDeviceWeight& device = io.device_weights[i];
      const std::string number = absl::StrCat(device.major, ":", device.minor, " ");
      const std::string pointer = absl::StrCat("/blockIO/weightDevice/", i);
      if (device.weight) {
        AddV2("io", "io.bfq.weight", absl::StrCat(number, *device.weight), pointer);
        WithFallback("io.weight", absl::StrCat(number, IoWeightFromBlkioWeight(*device.weight)));
      }
      if (device.leaf_weight) OnlyV1("io", pointer);
    }
    ThrottleV2(io.read_bytes, "rbps=", "/blockIO/throttleReadBpsDevice");
    ThrottleV2(io.write_bytes, "wbps=", "/blockIO/throttleWriteBpsDevice");
    ThrottleV2(io.read_operations, "riops=", "/blockIO/throttleReadIOPSDevice");
    ThrottleV2(io.write_operations, "wiops=", "/blockIO/throttleWriteIOPSDevice");
  }

  void ThrottleV2(const std::vector<IoThrottle>& throttles, const char* key, const char* pointer) {
    for (size_t i = 0; i < throttles.size(); ++i) {
      AddV2("io", "io.max",
            absl::StrCat(throttles[i].major, ":", throttles[i].minor, " ", key,
                         MaxOrRate(throttles[i].rate)),
            absl::StrCat(pointer, "/", i));
    }
  }

  void CompileIoV1(const IoResources& io) {
    if (io.weight) {
      AddV1("blkio", "blkio.weight", absl::StrCat(*io.weight), "/blockIO/weight");
      WithFallback("blkio.bfq.weight", absl::StrCat(*io.weight));
    }
    if (io.leaf_weight) {
      AddV1("blkio", "blkio.leaf_weight", absl::StrCat(*io.leaf_weight), "/blockIO/leafWeight");
    }
    for (size_t i = 0; i < io.device_weights.size(); ++i) {
      const IoDeviceWeight& device = io.device_weights[i];
      const std::string number = absl::StrCat(device.major, ":", device.minor, " ");
      const std::string pointer = absl::StrCat("/blockIO/weightDevice/", i);
      if (device.weight) {
        const std::string value = absl::StrCat(number, *device.weight);
        AddV1("blkio", "blkio.weight_device", value, pointer);
        WithFallback("blkio.bfq.weight_device", value);
      }
      if (device.leaf_weight) {
        AddV1("blkio", "blkio.leaf_weight_device", absl::StrCat(number, *device.leaf_weight),
              pointer);
      }
    }
    ThrottleV1(io.read_bytes, "read_bps", "/blockIO/throttleReadBpsDevice");
    ThrottleV1(io.write_bytes, "write_bps", "/blockIO/throttleWriteBpsDevice");
    ThrottleV1(io.read_operations, "read_iops", "/blockIO/throttleReadIOPSDevice");
    ThrottleV1(io.write_operations, "write_iops", "/blockIO/throttleWriteIOPSDevice");
  }

  void ThrottleV1(const std::vector<IoThrottle>& throttles, const char* kind, const char* pointer) {
    for (size_t i = 0; i < throttles.size(); ++i) {
      AddV1("blkio", absl::StrCat("blkio.throttle.", kind, "_device"),
            absl::StrCat(throttles[i].major, ":", throttles[i].minor, " ", throttles[i].rate),
            absl::StrCat(pointer, "/", i));
    }
  }

  void CompileHugepages() {
    for (size_t i = 0; i < resources_.hugepages.size(); ++i) {
      const HugepageLimit& limit = resources_.hugepages[i];
      const std::string pointer = absl::StrCat("/hugepageLimits/", i);
      const std::string value = absl::StrCat(limit.limit_bytes);
      const std::string prefix = absl::StrCat("hugetlb.", limit.page_size, ".");
      // Reservations too: a page that is reserved and not touched yet is not counted otherwise.
      if (HasV2("hugetlb")) {
        AddV2("hugetlb", prefix + "max", value, pointer);
        AddV2("hugetlb", prefix + "rsvd.max", value, pointer);
      } else if (HasV1("hugetlb")) {
        AddV1("hugetlb", prefix + "limit_in_bytes", value, pointer);
        AddV1("hugetlb", prefix + "rsvd.limit_in_bytes", value, pointer);
      } else {
        Missing("hugetlb", pointer);
      }
    }
  }

  void CompileNetwork() {
    if (resources_.network_class_id) {
      V1Only("net_cls", "net_cls.classid", absl::StrCat(*resources_.network_class_id),
             "/network/classID");
    }
    for (size_t i = 0; i < resources_.network_priorities.size(); ++i) {
      const InterfacePriority& priority = resources_.network_priorities[i];
      V1Only("net_prio", "net_prio.ifpriomap", absl::StrCat(priority.name, " ", priority.priority),
             absl::StrCat("/network/priorities/", i));
    }
  }

  void CompileRdma() {
    for (const auto& [device, limit] : resources_.rdma) {
      std::string value = device;
      if (limit.hca_handles) absl::StrAppend(&value, " hca_handle=", *limit.hca_handles);
      if (limit.hca_objects) absl::StrAppend(&value, " hca_object=", *limit.hca_objects);
      Simple("rdma", "rdma.max", value, "rdma.max", value, absl::StrCat("/rdma/", device));
    }
  }

  // After the named resources: who writes the kernel's own name means exactly that.
  void CompileUnified() {
    for (const auto& [file, value] : resources_.unified) {
      const std::string controller = file.substr(0, file.find('.'));
      const std::string pointer = absl::StrCat("/unified/", file);
      const bool core = controller == "cgroup" || file.ends_with(".pressure");
      if (layout_.unified_mount.empty() || (!core && !HasV2(controller))) {
        Unenforced(controller.c_str(), pointer,
                   absl::StrCat("cgroup2 here does not have the controller ", controller));
        continue;
      }
      // Files that take a line per device want a write for each.
      for (const std::string_view line : SplitText(value, '\n')) {
        AddV2(core ? "cgroup" : controller.c_str(), file, std::string(line), pointer);
      }
    }
  }

  const Resources& resources_;
  const CgroupLayout& layout_;
  CgroupSettings out_;
};

}  // namespace

std::string DescribeCgroupSetting(const CgroupSetting& setting) {
  std::string text =
      absl::StrCat(setting.unified ? "v2 " : "v1 ", setting.file, " = ", setting.value);
  if (!setting.fallback_file.empty()) {
    absl::StrAppend(&text, " or ", setting.fallback_file, " = ", setting.fallback_value);
  }
  return text;
}

std::set<std::string> CgroupSettings::UnifiedControllers() const {
  std::set<std::string> controllers;
  for (const CgroupSetting& setting : settings) {
    if (setting.unified && setting.controller != "cgroup") controllers.insert(setting.controller);
  }
  return controllers;
}

std::set<std::string> CgroupSettings::V1Controllers() const {
  std::set<std::string> controllers;
  for (const CgroupSetting& setting : settings) {
    if (!setting.unified) controllers.insert(setting.controller);
  }
  return controllers;
}

CgroupSettings CompileSettings(const Resources& resources, const CgroupLayout& layout) {
  return Compiler(resources, layout).Run();
}

uint64_t CpuWeightFromShares(uint64_t shares) {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  const double l = std::log2(static_cast<double>(shares));
  const double exponent = (l * l + 125 * l) / 612.0 - 7.0 / 34.0;
  // The default must stay the default where the sum above is off by a bit.
  return static_cast<uint64_t>(std::ceil(std::pow(10, exponent) - 1e-9));
}

uint64_t IoWeightFromBlkioWeight(uint64_t weight) { return 1 + (weight - 10) * 9999 / 990; }

}  // namespace ocid
