#include "daemon/container/oci_resources.h"

#include <utility>

#include "nlohmann/json.hpp"

namespace ocid {
namespace {

using nlohmann::json;

json ToJson(const v1::Resources::Memory& memory) {
  json out = json::object();
  if (memory.has_limit_bytes()) out["limit"] = memory.limit_bytes();
  if (memory.has_reservation_bytes()) out["reservation"] = memory.reservation_bytes();
  if (memory.has_swap_bytes()) out["swap"] = memory.swap_bytes();
  if (memory.has_swappiness()) out["swappiness"] = memory.swappiness();
  if (memory.has_disable_oom_killer()) out["disableOOMKiller"] = memory.disable_oom_killer();
  if (memory.has_check_before_update()) out["checkBeforeUpdate"] = memory.check_before_update();
  return out;
}

json ToJson(const v1::Resources::Cpu& cpu) {
  json out = json::object();
  if (cpu.has_shares()) out["shares"] = cpu.shares();
  if (cpu.has_quota_us()) out["quota"] = cpu.quota_us();
  if (cpu.has_period_us()) out["period"] = cpu.period_us();
  if (cpu.has_burst_us()) out["burst"] = cpu.burst_us();
  if (cpu.has_realtime_runtime_us()) out["realtimeRuntime"] = cpu.realtime_runtime_us();
  if (cpu.has_realtime_period_us()) out["realtimePeriod"] = cpu.realtime_period_us();
  if (cpu.has_cpus()) out["cpus"] = cpu.cpus();
  if (cpu.has_mems()) out["mems"] = cpu.mems();
  if (cpu.has_idle()) out["idle"] = cpu.idle();
  return out;
}

template <typename Devices>
void AddThrottle(const Devices& devices, const char* name, json& out) {
  for (const v1::Resources::BlockIo::ThrottleDevice& device : devices) {
    out[name].push_back(
        {{"major", device.major()}, {"minor", device.minor()}, {"rate", device.rate()}});
  }
}

json ToJson(const v1::Resources::BlockIo& block_io) {
  json out = json::object();
  if (block_io.has_weight()) out["weight"] = block_io.weight();
  if (block_io.has_leaf_weight()) out["leafWeight"] = block_io.leaf_weight();
  for (const auto& device : block_io.weight_devices()) {
    json entry = {{"major", device.major()}, {"minor", device.minor()}};
    if (device.has_weight()) entry["weight"] = device.weight();
    if (device.has_leaf_weight()) entry["leafWeight"] = device.leaf_weight();
    out["weightDevice"].push_back(std::move(entry));
  }
  AddThrottle(block_io.throttle_read_bps(), "throttleReadBpsDevice", out);
  AddThrottle(block_io.throttle_write_bps(), "throttleWriteBpsDevice", out);
  AddThrottle(block_io.throttle_read_iops(), "throttleReadIOPSDevice", out);
  AddThrottle(block_io.throttle_write_iops(), "throttleWriteIOPSDevice", out);
  return out;
}

}  // namespace

json ToOciResources(const v1::Resources& resources) {
  json out = json::object();
  if (resources.has_memory()) out["memory"] = ToJson(resources.memory());
  if (resources.has_cpu()) out["cpu"] = ToJson(resources.cpu());
  if (resources.pids().has_limit()) out["pids"] = {{"limit", resources.pids().limit()}};
  if (resources.has_block_io()) out["blockIO"] = ToJson(resources.block_io());
  for (const auto& limit : resources.hugepage_limits()) {
    out["hugepageLimits"].push_back(
        {{"pageSize", limit.page_size()}, {"limit", limit.limit_bytes()}});
  }
  for (const auto& rule : resources.devices()) {
    json entry = {{"allow", rule.allow()}};
    if (!rule.type().empty()) entry["type"] = rule.type();
    if (rule.has_major()) entry["major"] = rule.major();
    if (rule.has_minor()) entry["minor"] = rule.minor();
    if (!rule.access().empty()) entry["access"] = rule.access();
    out["devices"].push_back(std::move(entry));
  }
  for (const auto& [device, limits] : resources.rdma()) {
    json entry = json::object();
    if (limits.has_hca_handles()) entry["hcaHandles"] = limits.hca_handles();
    if (limits.has_hca_objects()) entry["hcaObjects"] = limits.hca_objects();
    out["rdma"][device] = std::move(entry);
  }
  for (const auto& [file, value] : resources.unified()) out["unified"][file] = value;
  return out;
}

}  // namespace ocid
