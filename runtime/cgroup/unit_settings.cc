#include "runtime/cgroup/unit_settings.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/cgroup_settings.h"
#include "runtime/cgroup/text.h"

namespace ocid {
namespace {

constexpr uint64_t kInfinity = UINT64_MAX;
constexpr uint64_t kDefaultPeriodUs = 100000;

uint64_t InfinityOr(int64_t value) { return value < 0 ? kInfinity : static_cast<uint64_t>(value); }

// systemd keeps CPUQuota in whole per cent: rounded up, so that nothing asked for is refused
// (runc).
uint64_t QuotaPerSecond(int64_t quota_us, uint64_t period_us) {
  if (quota_us < 0) return kInfinity;
  constexpr uint64_t kPerCentOfSecond = 10000;
  const auto quota = static_cast<uint64_t>(quota_us);
  const uint64_t per_second = quota / period_us * 1000000 + quota % period_us * 1000000 / period_us;
  return (per_second + kPerCentOfSecond - 1) / kPerCentOfSecond * kPerCentOfSecond;
}

// "0-2,9" as a bit mask, least significant byte first. The list was checked by ParseResources.
std::optional<UnitProperty::Bytes> MaskOf(std::string_view list) {
  UnitProperty::Bytes mask;
  for (const std::string_view range : SplitText(list, ',')) {
    const size_t dash = range.find('-');
    const auto first = ParseNumber<uint32_t>(range.substr(0, dash));
    const auto last =
        dash == std::string_view::npos ? first : ParseNumber<uint32_t>(range.substr(dash + 1));
    if (!first || !last || *first > *last || *last >= 65536) return std::nullopt;
    if (mask.size() <= *last / 8) mask.resize(*last / 8 + 1);
    for (uint32_t bit = *first; bit <= *last; ++bit) {
      mask[bit / 8] = static_cast<uint8_t>(mask[bit / 8] | (1u << (bit % 8)));
    }
  }
  return mask;
}

std::string BlockPath(uint32_t major, uint32_t minor) {
  return absl::StrCat("/dev/block/", major, ":", minor);
}

class UnitCompiler {
 public:
  UnitCompiler(const Resources& resources, const CgroupLayout& layout)
      : resources_(resources), layout_(layout) {
    out_.rest = resources;
  }

  UnitSettings Run() && {
    CompileDevices();
    CompileMemory();
    CompileCpu();
    CompilePids();
    CompileIo();
    CompileUnified();
    return std::move(out_);
  }

 private:
  bool HasV2(const char* controller) const {
    return layout_.unified_controllers.contains(controller);
  }
  bool Has(const char* controller) const {
    return HasV2(controller) || layout_.FindV1(controller) != nullptr;
  }
  void Add(const char* name, UnitProperty::Value value) {
    out_.properties.push_back({name, std::move(value)});
  }

  void CompileDevices() {
    if (!resources_.devices) return;
    const auto list = ReduceToAllowList(*resources_.devices);
    if (!list) return;  // stays in `rest`, beside what systemd enforces
    UnitProperty::DeviceRules rules;
    bool everything = false;
    for (const DeviceRule& rule : *list) {
      const std::string described = DescribeDeviceRule(rule);
      const std::string access = described.substr(described.rfind(' ') + 1);
      if (rule.type == 'a') {
        everything = everything || rule.access == kDeviceAll;
        rules.emplace_back("char-*", access);
        rules.emplace_back("block-*", access);
        continue;
      }
      const char* const kind = rule.type == 'b' ? "block" : "char";
      if (!rule.major) {
        rules.emplace_back(absl::StrCat(kind, "-*"), access);
      } else if (!rule.minor) {
        rules.emplace_back(absl::StrCat(kind, "-", *rule.major), access);
      } else {
        rules.emplace_back(absl::StrCat("/dev/", kind, "/", *rule.major, ":", *rule.minor), access);
      }
    }
    if (everything) {
      Add("DevicePolicy", std::string("auto"));
      Add("DeviceAllow", UnitProperty::DeviceRules());
    } else {
      Add("DevicePolicy", std::string("strict"));
      // An empty list first takes back what an earlier request allowed.
      Add("DeviceAllow", UnitProperty::DeviceRules());
      if (!rules.empty()) Add("DeviceAllow", std::move(rules));
    }
    // On a host that has v1 hierarchies systemd enforces the rules in the one for devices. A container
    // that does not enter it needs them as a program of our own, too.
    const bool enforced = layout_.v1.empty() || layout_.FindV1("devices") != nullptr;
    if (enforced) out_.rest.devices.reset();
  }

  void CompileMemory() {
    const MemoryResources& memory = resources_.memory;
    if (memory.limit_bytes && Has("memory")) {
      Add("MemoryMax", InfinityOr(*memory.limit_bytes));
      out_.rest.memory.limit_bytes.reset();
    }
    if (!HasV2("memory")) return;
    if (memory.reservation_bytes) {
      Add("MemoryLow", InfinityOr(*memory.reservation_bytes));
      out_.rest.memory.reservation_bytes.reset();
    }
    if (memory.swap_bytes) {
      const int64_t limit = std::max<int64_t>(memory.limit_bytes.value_or(0), 0);
      Add("MemorySwapMax",
          *memory.swap_bytes < 0 ? kInfinity : static_cast<uint64_t>(*memory.swap_bytes - limit));
      out_.rest.memory.swap_bytes.reset();
    }
  }

  void CompileCpu() {
    const CpuResources& cpu = resources_.cpu;
    if (Has("cpu")) {
      if (cpu.shares) {
        if (HasV2("cpu")) {
          Add("CPUWeight", CpuWeightFromShares(*cpu.shares));
        } else {
          Add("CPUShares", *cpu.shares);
        }
        out_.rest.cpu.shares.reset();
      }
      if (cpu.period_us) Add("CPUQuotaPeriodUSec", *cpu.period_us);
      if (cpu.quota_us) {
        Add("CPUQuotaPerSecUSec",
            QuotaPerSecond(*cpu.quota_us, cpu.period_us.value_or(kDefaultPeriodUs)));
      }
      out_.rest.cpu.period_us.reset();
      out_.rest.cpu.quota_us.reset();
    }
    if (!HasV2("cpuset")) return;  // systemd has no cpusets on v1
    AddMask("AllowedCPUs", cpu.cpus, out_.rest.cpu.cpus);
    AddMask("AllowedMemoryNodes", cpu.mems, out_.rest.cpu.mems);
  }

  void AddMask(const char* name, const std::string& list, std::string& rest) {
    if (list.empty()) return;
    std::optional<UnitProperty::Bytes> mask = MaskOf(list);
    if (!mask) return;
    Add(name, *std::move(mask));
    rest.clear();
  }

  void CompilePids() {
    if (!resources_.pids_limit || !Has("pids")) return;
    Add("TasksMax", InfinityOr(*resources_.pids_limit));
    out_.rest.pids_limit.reset();
  }

  void CompileIo() {
    if (!HasV2("io")) return;
    const IoResources& io = resources_.io;
    IoResources& rest = out_.rest.io;
    if (io.weight) {
      Add("IOWeight", IoWeightFromBlkioWeight(*io.weight));
      rest.weight.reset();
    }
    UnitProperty::DeviceLimits weights;
    for (const IoDeviceWeight& device : io.device_weights) {
      if (!device.weight) continue;
      weights.emplace_back(BlockPath(device.major, device.minor),
                           IoWeightFromBlkioWeight(*device.weight));
    }
    if (!weights.empty()) Add("IODeviceWeight", std::move(weights));
    for (IoDeviceWeight& device : rest.device_weights) device.weight.reset();
    AddThrottle("IOReadBandwidthMax", io.read_bytes, rest.read_bytes);
    AddThrottle("IOWriteBandwidthMax", io.write_bytes, rest.write_bytes);
    AddThrottle("IOReadIOPSMax", io.read_operations, rest.read_operations);
    AddThrottle("IOWriteIOPSMax", io.write_operations, rest.write_operations);
  }

  void AddThrottle(const char* name, const std::vector<IoThrottle>& throttles,
                   std::vector<IoThrottle>& rest) {
    if (throttles.empty()) return;
    UnitProperty::DeviceLimits limits;
    for (const IoThrottle& throttle : throttles) {
      limits.emplace_back(BlockPath(throttle.major, throttle.minor),
                          throttle.rate == 0 ? kInfinity : throttle.rate);
    }
    Add(name, std::move(limits));
    rest.clear();
  }

  void CompileUnified() {
    for (const auto& [file, value] : resources_.unified) {
      if (!HasV2(file.substr(0, file.find('.')).c_str())) continue;
      if (AddUnified(file, StripSpace(value))) out_.rest.unified.erase(file);
    }
  }

  // True if systemd has a property that says the same. A later value of a name replaces an earlier.
  bool AddUnified(const std::string& file, std::string_view value) {
    static constexpr std::array<std::pair<std::string_view, const char*>, 6> kLimits = {{
        {"memory.max", "MemoryMax"},
        {"memory.high", "MemoryHigh"},
        {"memory.low", "MemoryLow"},
        {"memory.min", "MemoryMin"},
        {"memory.swap.max", "MemorySwapMax"},
        {"pids.max", "TasksMax"},
    }};
    for (const auto& [name, property] : kLimits) {
      if (file != name) continue;
      const auto number = value == "max" ? kInfinity : ParseNumber<uint64_t>(value);
      if (!number) return false;
      Add(property, *number);
      return true;
    }
    if (file == "cpu.weight") {
      const auto weight = ParseNumber<uint64_t>(value);
      if (weight) Add("CPUWeight", *weight);
      return weight.has_value();
    }
    if (file == "cpu.max") {
      const std::vector<std::string_view> words = SplitText(value, ' ');
      if (words.empty() || words.size() > 2) return false;
      const auto period = words.size() == 2 ? ParseNumber<uint64_t>(words[1]) : kDefaultPeriodUs;
      const auto quota = words[0] == "max" ? -1 : ParseNumber<int64_t>(words[0]);
      if (!period || *period == 0 || !quota) return false;
      Add("CPUQuotaPeriodUSec", *period);
      Add("CPUQuotaPerSecUSec", QuotaPerSecond(*quota, *period));
      return true;
    }
    if (file == "cpuset.cpus" || file == "cpuset.mems") {
      std::optional<UnitProperty::Bytes> mask = MaskOf(value);
      if (!mask) return false;
      Add(file == "cpuset.cpus" ? "AllowedCPUs" : "AllowedMemoryNodes", *std::move(mask));
      return true;
    }
    return false;
  }

  const Resources& resources_;
  const CgroupLayout& layout_;
  UnitSettings out_;
};

constexpr std::string_view kAnnotationPrefix = "org.systemd.property.";

// GVariant text of a string: quoted either way, with no need for escapes in what may be set here.
std::optional<std::string> ParseGvariantString(std::string_view text) {
  if (text.size() < 2 || text.size() > 1024 || text.front() != text.back()) return std::nullopt;
  if (text.front() != '\'' && text.front() != '"') return std::nullopt;
  const std::string_view inner = text.substr(1, text.size() - 2);
  for (const char c : inner) {
    if (static_cast<unsigned char>(c) < 0x20 || c == '\\' || c == text.front()) return std::nullopt;
  }
  return std::string(inner);
}

std::optional<bool> ParseGvariantBoolean(std::string_view text) {
  if (text.starts_with("boolean ")) text.remove_prefix(8);
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

// A number with or without its type before it: "uint64 5000000".
std::optional<uint64_t> ParseGvariantNumber(std::string_view text) {
  const size_t space = text.find(' ');
  if (space != std::string_view::npos) {
    static constexpr std::array<std::string_view, 4> kTypes = {"uint64", "int64", "uint32",
                                                               "int32"};
    if (std::find(kTypes.begin(), kTypes.end(), text.substr(0, space)) == kTypes.end()) {
      return std::nullopt;
    }
    text = StripSpace(text.substr(space));
  }
  return ParseNumber<uint64_t>(text);
}

// The property, or nothing where the value has the wrong type. `known` says if it may be set.
std::optional<UnitProperty> ParseAnnotation(std::string_view name, std::string_view value,
                                            bool& known) {
  known = true;
  if (name == "CollectMode") {
    const auto text = ParseGvariantString(value);
    if (text == "inactive" || text == "inactive-or-failed")
      return UnitProperty{"CollectMode", *text};
    return std::nullopt;
  }
  if (name == "Description") {
    auto text = ParseGvariantString(value);
    if (text) return UnitProperty{"Description", *std::move(text)};
    return std::nullopt;
  }
  if (name == "DefaultDependencies" || name == "SendSIGHUP") {
    const auto boolean = ParseGvariantBoolean(value);
    if (boolean) return UnitProperty{std::string(name), *boolean};
    return std::nullopt;
  }
  const auto number = ParseGvariantNumber(value);
  if (name == "KillSignal") {
    if (number && *number >= 1 && *number <= 64) {
      return UnitProperty{"KillSignal", static_cast<int32_t>(*number)};
    }
    return std::nullopt;
  }
  if (name == "TimeoutStopUSec") {
    if (number) return UnitProperty{"TimeoutStopUSec", *number};
    return std::nullopt;
  }
  if (name == "TimeoutStopSec") {
    if (number && *number < kInfinity / 1000000) {
      return UnitProperty{"TimeoutStopUSec", *number * 1000000};
    }
    return std::nullopt;
  }
  known = false;
  return std::nullopt;
}

}  // namespace

UnitSettings CompileUnitSettings(const Resources& resources, const CgroupLayout& layout) {
  return UnitCompiler(resources, layout).Run();
}

absl::StatusOr<UnitAnnotations> ParseUnitAnnotations(
    const std::map<std::string, std::string>& annotations) {
  UnitAnnotations parsed;
  for (const auto& [key, value] : annotations) {
    if (!key.starts_with(kAnnotationPrefix)) continue;
    const std::string_view name = std::string_view(key).substr(kAnnotationPrefix.size());
    bool known = false;
    std::optional<UnitProperty> property = ParseAnnotation(name, StripSpace(value), known);
    if (property) {
      parsed.properties.push_back(*std::move(property));
    } else if (!known) {
      parsed.stripped.push_back(key);
    } else {
      absl::Status status = MakeError(absl::StatusCode::kInvalidArgument, "ANNOTATION_INVALID",
                                      absl::StrCat("annotation ", key, ": value has a wrong type"),
                                      {{"annotation", key}});
      AddFieldViolation(status, absl::StrCat("/annotations/", key), "value has a wrong type");
      return status;
    }
  }
  return parsed;
}

}  // namespace ocid
