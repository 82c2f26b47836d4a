#include "runtime/cgroup/cgroup_resources.h"

#include <limits>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/text.h"

namespace ocid {
namespace {

using nlohmann::json;

// Lists longer than this are not resources of one container.
constexpr size_t kMaxListed = kMaxDeviceRules;
constexpr size_t kMaxTextBytes = 4096;

// A place in the document: the value, where it is, and where violations are collected.
class Reader {
 public:
  Reader(const json& value, std::string pointer, std::vector<FieldViolation>& violations)
      : value_(&value), pointer_(std::move(pointer)), violations_(&violations) {}

  const json& value() const { return *value_; }
  const std::string& pointer() const { return pointer_; }

  void Violation(std::string description) const {
    violations_->push_back({pointer_, std::move(description)});
  }

  // The member, unless it is absent or null. A value that is no object is a violation.
  std::optional<Reader> Member(const char* name) const {
    if (!value_->is_object()) return std::nullopt;
    const auto found = value_->find(name);
    if (found == value_->end() || found->is_null()) return std::nullopt;
    return Reader(*found, Child(name), *violations_);
  }

  std::optional<Reader> Object(const char* name) const {
    std::optional<Reader> member = Member(name);
    if (member && !member->value().is_object()) {
      member->Violation("must be an object");
      return std::nullopt;
    }
    return member;
  }

  // The elements of an array member.
  std::vector<Reader> Elements(const char* name) const {
    std::vector<Reader> elements;
    const std::optional<Reader> member = Member(name);
    if (!member) return elements;
    if (!member->value().is_array() || member->value().size() > kMaxListed) {
      member->Violation(absl::StrCat("must be an array of at most ", kMaxListed));
      return elements;
    }
    size_t index = 0;
    for (const json& element : member->value()) {
      Reader reader(element, member->Child(absl::StrCat(index++)), *violations_);
      if (element.is_object()) {
        elements.push_back(std::move(reader));
      } else {
        reader.Violation("must be an object");
      }
    }
    return elements;
  }

  // Members of an object member, as readers by name.
  std::vector<std::pair<std::string, Reader>> Members(const char* name) const {
    std::vector<std::pair<std::string, Reader>> members;
    const std::optional<Reader> object = Object(name);
    if (!object) return members;
    for (const auto& [key, value] : object->value().items()) {
      members.emplace_back(key, Reader(value, object->Child(key), *violations_));
    }
    return members;
  }

  template <typename Number>
  std::optional<Number> AsInteger(Number least, Number most) const {
    const bool fits =
        value_->is_number_unsigned()
            ? std::in_range<Number>(value_->get<uint64_t>())
            : value_->is_number_integer() && std::in_range<Number>(value_->get<int64_t>());
    if (fits) {
      const Number number = value_->get<Number>();
      if (number >= least && number <= most) return number;
    }
    Violation(absl::StrCat("must be an integer from ", least, " to ", most));
    return std::nullopt;
  }

  template <typename Number>
  std::optional<Number> Integer(const char* name, Number least = std::numeric_limits<Number>::min(),
                                Number most = std::numeric_limits<Number>::max()) const {
    const std::optional<Reader> member = Member(name);
    return member ? member->AsInteger<Number>(least, most) : std::nullopt;
  }

  // As Integer, but 0 is "not set".
  template <typename Number>
  std::optional<Number> NonZero(const char* name, Number least, Number most) const {
    const std::optional<Reader> member = Member(name);
    if (!member || (member->value().is_number_integer() && member->value() == 0)) {
      return std::nullopt;
    }
    return member->AsInteger<Number>(least, most);
  }

  bool Boolean(const char* name) const {
    const std::optional<Reader> member = Member(name);
    if (!member) return false;
    if (member->value().is_boolean()) return member->value().get<bool>();
    member->Violation("must be true or false");
    return false;
  }

  // Printable text without newline: it becomes a line of a kernel file.
  std::string AsText() const {
    if (value_->is_string()) {
      const auto& text = value_->get_ref<const std::string&>();
      bool printable = text.size() <= kMaxTextBytes;
      for (const char c : text) printable = printable && static_cast<unsigned char>(c) >= 0x20;
      if (printable) return text;
    }
    Violation(absl::StrCat("must be printable text of at most ", kMaxTextBytes, " bytes"));
    return {};
  }

  std::string Text(const char* name) const {
    const std::optional<Reader> member = Member(name);
    return member ? member->AsText() : std::string();
  }

 private:
  // RFC 6901.
  std::string Child(std::string_view name) const {
    std::string child = pointer_ + "/";
    for (const char c : name) {
      if (c == '~') {
        child += "~0";
      } else if (c == '/') {
        child += "~1";
      } else {
        child += c;
      }
    }
    return child;
  }

  const json* value_;
  std::string pointer_;
  std::vector<FieldViolation>* violations_;
};

constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();

// -1 is "all of them"; other negative numbers are not devices.
std::optional<uint32_t> ReadDeviceNumber(const Reader& rule, const char* name) {
  const std::optional<int64_t> number =
      rule.Integer<int64_t>(name, -1, std::numeric_limits<uint32_t>::max());
  if (!number || *number < 0) return std::nullopt;
  return static_cast<uint32_t>(*number);
}

DeviceRule ReadDeviceRule(const Reader& reader) {
  DeviceRule rule;
  rule.allow = reader.Boolean("allow");
  const std::string type = reader.Text("type");
  if (type == "c" || type == "b") {
    rule.type = type[0];
  } else if (!type.empty() && type != "a") {
    reader.Member("type")->Violation("must be \"a\", \"b\" or \"c\"");
  }
  rule.major = ReadDeviceNumber(reader, "major");
  rule.minor = ReadDeviceNumber(reader, "minor");
  const std::string access = reader.Text("access");
  if (!access.empty()) {
    rule.access = 0;
    for (const char c : access) {
      if (c == 'r') rule.access |= kDeviceRead;
      if (c == 'w') rule.access |= kDeviceWrite;
      if (c == 'm') rule.access |= kDeviceMknod;
    }
    if (access.find_first_not_of("rwm") != std::string::npos) {
      reader.Member("access")->Violation("must consist of \"r\", \"w\" and \"m\"");
    }
  }
  return rule;
}

MemoryResources ReadMemory(const Reader& reader) {
  MemoryResources memory;
  memory.limit_bytes = reader.NonZero<int64_t>("limit", -1, kMaxInt64);
  memory.reservation_bytes = reader.NonZero<int64_t>("reservation", -1, kMaxInt64);
  memory.swap_bytes = reader.NonZero<int64_t>("swap", -1, kMaxInt64);
  memory.kernel_bytes = reader.NonZero<int64_t>("kernel", -1, kMaxInt64);
  memory.kernel_tcp_bytes = reader.NonZero<int64_t>("kernelTCP", -1, kMaxInt64);
  memory.swappiness = reader.Integer<uint64_t>("swappiness", 0, 100);
  memory.disable_oom_killer = reader.Boolean("disableOOMKiller");
  memory.check_before_update = reader.Boolean("checkBeforeUpdate");
  if (memory.swap_bytes.value_or(-1) > 0) {
    const int64_t limit = memory.limit_bytes.value_or(-1);
    if (limit < 0) {
      reader.Member("swap")->Violation("needs a memory limit: it counts memory and swap together");
    } else if (*memory.swap_bytes < limit) {
      reader.Member("swap")->Violation("must not be below the memory limit, which it includes");
    }
  }
  return memory;
}

// "0-3,7": what cpuset files accept, less their rarer forms.
bool IsCpuList(std::string_view list) {
  for (const std::string_view range : SplitText(list, ',')) {
    const size_t dash = range.find('-');
    const auto first = ParseNumber<uint32_t>(range.substr(0, dash));
    const auto last =
        dash == std::string_view::npos ? first : ParseNumber<uint32_t>(range.substr(dash + 1));
    if (!first || !last || *first > *last || *last >= 65536) return false;
  }
  return true;
}

std::string ReadCpuList(const Reader& reader, const char* name) {
  std::string list = reader.Text(name);
  if (!IsCpuList(list)) {
    reader.Member(name)->Violation("must be a list of numbers and ranges, as \"0-3,7\"");
  }
  return list;
}

CpuResources ReadCpu(const Reader& reader) {
  CpuResources cpu;
  cpu.shares = reader.NonZero<uint64_t>("shares", 2, 262144);
  cpu.quota_us = reader.NonZero<int64_t>("quota", -1, kMaxInt64 / 1000);
  cpu.period_us = reader.NonZero<uint64_t>("period", 1000, 1000000);
  cpu.burst_us = reader.Integer<uint64_t>("burst", 0, kMaxInt64 / 1000);
  cpu.realtime_runtime_us = reader.NonZero<int64_t>("realtimeRuntime", -1, kMaxInt64 / 1000);
  cpu.realtime_period_us = reader.NonZero<uint64_t>("realtimePeriod", 1, kMaxInt64 / 1000);
  cpu.idle = reader.Integer<int64_t>("idle", 0, 1);
  cpu.cpus = ReadCpuList(reader, "cpus");
  cpu.mems = ReadCpuList(reader, "mems");
  if (cpu.quota_us && *cpu.quota_us >= 0 && *cpu.quota_us < 1000) {
    reader.Member("quota")->Violation("must be -1, or at least 1000 microseconds");
  }
  return cpu;
}

std::pair<uint32_t, uint32_t> ReadBlockDevice(const Reader& reader) {
  const auto number = [&](const char* name) {
    const std::optional<uint32_t> value = reader.Integer<uint32_t>(name);
    if (!reader.Member(name)) reader.Violation(absl::StrCat("needs \"", name, "\""));
    return value.value_or(0);
  };
  return {number("major"), number("minor")};
}

std::vector<IoThrottle> ReadThrottles(const Reader& reader, const char* name) {
  std::vector<IoThrottle> throttles;
  for (const Reader& element : reader.Elements(name)) {
    const auto [major, minor] = ReadBlockDevice(element);
    throttles.push_back({major, minor, element.Integer<uint64_t>("rate").value_or(0)});
  }
  return throttles;
}

IoResources ReadIo(const Reader& reader) {
  IoResources io;
  io.weight = reader.NonZero<uint16_t>("weight", 10, 1000);
  io.leaf_weight = reader.NonZero<uint16_t>("leafWeight", 10, 1000);
  for (const Reader& element : reader.Elements("weightDevice")) {
    const auto [major, minor] = ReadBlockDevice(element);
    io.device_weights.push_back({major, minor, element.NonZero<uint16_t>("weight", 10, 1000),
                                 element.NonZero<uint16_t>("leafWeight", 10, 1000)});
  }
  io.read_bytes = ReadThrottles(reader, "throttleReadBpsDevice");
  io.write_bytes = ReadThrottles(reader, "throttleWriteBpsDevice");
  io.read_operations = ReadThrottles(reader, "throttleReadIOPSDevice");
  io.write_operations = ReadThrottles(reader, "throttleWriteIOPSDevice");
  return io;
}

// "2MB", "1GB", "64KB": it becomes a part of a file's name.
bool IsPageSize(std::string_view text) {
  if (text.size() < 3 || text.size() > 12 || text[0] == '0') return false;
  const std::string_view unit = text.substr(text.size() - 2);
  return ParseNumber<uint32_t>(text.substr(0, text.size() - 2)).has_value() &&
         (unit == "KB" || unit == "MB" || unit == "GB");
}

std::vector<HugepageLimit> ReadHugepages(const Reader& reader) {
  std::vector<HugepageLimit> limits;
  for (const Reader& element : reader.Elements("hugepageLimits")) {
    HugepageLimit limit{element.Text("pageSize"), element.Integer<uint64_t>("limit").value_or(0)};
    if (!IsPageSize(limit.page_size)) {
      element.Member("pageSize").value_or(element).Violation("must be a size, as \"2MB\"");
    }
    if (!element.Member("limit")) element.Violation("needs \"limit\"");
    limits.push_back(std::move(limit));
  }
  return limits;
}

std::vector<InterfacePriority> ReadNetworkPriorities(const Reader& reader) {
  std::vector<InterfacePriority> priorities;
  for (const Reader& element : reader.Elements("priorities")) {
    InterfacePriority priority{element.Text("name"),
                               element.Integer<uint32_t>("priority").value_or(0)};
    if (priority.name.empty() || priority.name.size() > 15 ||
        priority.name.find_first_of(" /") != std::string::npos) {
      element.Member("name").value_or(element).Violation("must be the name of an interface");
    }
    priorities.push_back(std::move(priority));
  }
  return priorities;
}

// Files that move, stop or kill processes are not limits, and a '/' would name another cgroup.
bool IsUnifiedFile(std::string_view name) {
  const size_t dot = name.find('.');
  if (dot == 0 || dot == std::string_view::npos || name.size() > 128) return false;
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && std::string_view("._-").find(c) == std::string_view::npos) return false;
  }
  if (!name.starts_with("cgroup.")) return true;
  return name == "cgroup.max.depth" || name == "cgroup.max.descendants" ||
         name == "cgroup.pressure";
}

void ReadUnified(const Reader& reader, Resources& resources) {
  for (const auto& [name, member] : reader.Members("unified")) {
    if (!IsUnifiedFile(name)) {
      member.Violation("must be the name of a file of cgroup v2 that sets a limit");
      continue;
    }
    // Some files take several lines, in one write each.
    if (!member.value().is_string() || member.value().get_ref<const std::string&>().empty() ||
        member.value().get_ref<const std::string&>().size() > kMaxTextBytes) {
      member.Violation(absl::StrCat("must be text of at most ", kMaxTextBytes, " bytes"));
      continue;
    }
    resources.unified[name] = member.value().get<std::string>();
  }
}

void ReadRdma(const Reader& reader, Resources& resources) {
  for (const auto& [name, member] : reader.Members("rdma")) {
    if (!member.value().is_object() || name.empty() || name.size() > 64 ||
        name.find_first_of(" /\n") != std::string::npos) {
      member.Violation("must be the limits of a device");
      continue;
    }
    resources.rdma[name] = {member.Integer<uint32_t>("hcaHandles"),
                            member.Integer<uint32_t>("hcaObjects")};
  }
}

absl::Status ViolationsError(const std::vector<FieldViolation>& violations) {
  absl::Status status = MakeError(
      absl::StatusCode::kInvalidArgument, "RESOURCE_INVALID",
      absl::StrCat(violations[0].field, " ", violations[0].description,
                   violations.size() > 1
                       ? absl::StrCat(" (and ", violations.size() - 1, " more violations)")
                       : std::string()),
      {{"pointer", violations[0].field}});
  for (const FieldViolation& violation : violations) {
    AddFieldViolation(status, violation.field, violation.description);
  }
  return status;
}

}  // namespace

absl::StatusOr<Resources> ParseResources(const nlohmann::json& document) {
  Resources resources;
  if (document.is_null()) return resources;
  std::vector<FieldViolation> violations;
  const Reader reader(document, kResourcesPointer, violations);
  if (!document.is_object()) {
    reader.Violation("must be an object");
    return ViolationsError(violations);
  }
  if (reader.Member("devices")) {
    resources.devices.emplace();
    for (const Reader& element : reader.Elements("devices")) {
      resources.devices->push_back(ReadDeviceRule(element));
    }
    // An empty list restricts nothing: it is what a program writes that has none.
    if (resources.devices->empty()) resources.devices.reset();
  }
  if (const auto memory = reader.Object("memory")) resources.memory = ReadMemory(*memory);
  if (const auto cpu = reader.Object("cpu")) resources.cpu = ReadCpu(*cpu);
  if (const auto pids = reader.Object("pids")) {
    resources.pids_limit = pids->NonZero<int64_t>("limit", -1, kMaxInt64);
  }
  if (const auto io = reader.Object("blockIO")) resources.io = ReadIo(*io);
  resources.hugepages = ReadHugepages(reader);
  if (const auto network = reader.Object("network")) {
    resources.network_class_id = network->Integer<uint32_t>("classID");
    resources.network_priorities = ReadNetworkPriorities(*network);
  }
  ReadRdma(reader, resources);
  ReadUnified(reader, resources);
  if (!violations.empty()) return ViolationsError(violations);
  return resources;
}

}  // namespace ocid
