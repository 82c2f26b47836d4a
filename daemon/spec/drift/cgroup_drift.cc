// linux.resources and linux.cgroupsPath, against the cgroup's files.
//
// What the spec does not limit is compared with the kernel's defaults: a limit that somebody set
// from outside is a difference too.
//
// Sources: cgroup-v2.rst, cgroup-v1/*.rst; runtime/cgroup/cgroup_settings.h for the conversions.
#include <algorithm>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "daemon/spec/drift/drift_parts.h"
#include "runtime/cgroup/cgroup_files.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/cgroup/cgroup_resources.h"
#include "runtime/cgroup/cgroup_settings.h"
#include "runtime/cgroup/device_policy.h"
#include "runtime/plan/process_names.h"

namespace ocid {
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr int64_t kV1Unlimited = INT64_MAX / kPageBytes * kPageBytes;  // PAGE_COUNTER_MAX

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

std::vector<std::string> Words(std::string_view text) {
  return absl::StrSplit(View(text), absl::ByAnyChar(" \t\n"), absl::SkipEmpty());
}

bool IsBytes(std::string_view file) {
  return file.starts_with("memory.") && file != "memory.swappiness" &&
         file != "memory.oom_control" && file != "memory.oom.group";
}

// Bytes are counted in pages, and "no limit" has a number in v1.
std::string NormalizedBytes(const std::string& value) {
  int64_t bytes = 0;
  if (value == "max" || value == "-1") return "max";
  if (!absl::SimpleAtoi(value, &bytes)) return value;
  return bytes >= kV1Unlimited ? "max"
                               : absl::StrCat(bytes / static_cast<int64_t>(kPageBytes) *
                                              static_cast<int64_t>(kPageBytes));
}

// "2MB" in hugetlb.2MB.max: the limit is a whole number of those.
std::string NormalizedHugetlb(std::string_view file, const std::string& value) {
  int64_t bytes = 0;
  uint64_t unit = 0;
  const std::vector<std::string> parts = absl::StrSplit(View(file), '.');
  if (value == "max" || !absl::SimpleAtoi(value, &bytes) || parts.size() < 2) return value;
  const std::string& size = parts[1];
  const size_t digits = size.find_first_not_of("0123456789");
  if (digits == std::string::npos || !absl::SimpleAtoi(size.substr(0, digits), &unit)) return value;
  const std::string suffix = size.substr(digits);
  unit <<= suffix == "GB" ? 30 : suffix == "MB" ? 20 : 10;
  if (unit == 0) return value;
  // What no counter reaches is written as the most that a counter holds.
  if (static_cast<uint64_t>(bytes) >= static_cast<uint64_t>(kV1Unlimited) / unit * unit) {
    return "max";
  }
  return absl::StrCat(static_cast<uint64_t>(bytes) / unit * unit);
}

std::string NumberList(const std::string& text) {
  constexpr unsigned kMaxNumber = 8191;
  const std::optional<std::vector<uint64_t>> mask = ParseNumberList(text, kMaxNumber);
  if (!mask.has_value()) return text;
  std::vector<std::string> numbers;
  for (size_t i = 0; i < mask->size() * 64; ++i) {
    if (((*mask)[i / 64] >> (i % 64) & 1) != 0) numbers.push_back(absl::StrCat(i));
  }
  return absl::StrJoin(numbers, ",");
}

// "50000 100000" as a share of a CPU where systemd has written it, which chooses its own period.
std::string CpuShare(const std::vector<std::string>& words) {
  int64_t quota = 0;
  int64_t period = 100'000;
  if (words.empty() || words[0] == "max" || !absl::SimpleAtoi(words[0], &quota)) return "max";
  if (words.size() > 1 && !absl::SimpleAtoi(words[1], &period)) return "max";
  return absl::StrCat((quota * 100 + period / 2) / std::max<int64_t>(period, 1), "%");
}

std::string Normalized(std::string_view file, const std::string& value) {
  if (IsBytes(file)) return NormalizedBytes(value);
  if (file.starts_with("hugetlb.")) return NormalizedHugetlb(file, value);
  if (file.starts_with("cpuset.")) return NumberList(value);
  return value;
}

// Files with a line for each device or interface, which starts with its name.
bool IsKeyed(std::string_view file, const std::vector<std::string>& wanted) {
  return wanted.size() > 1 && file != "cpu.max";
}

// The words of the line that starts like `wanted`.
std::vector<std::string> LineOf(std::string_view text, const std::string& key) {
  for (const absl::string_view line : absl::StrSplit(View(text), '\n')) {
    std::vector<std::string> words = Words({line.data(), line.size()});
    if (!words.empty() && words[0] == key) return words;
  }
  return {};
}

bool KeyedHolds(const std::vector<std::string>& wanted, std::string_view text,
                std::string& observed) {
  const std::vector<std::string> line = LineOf(text, wanted[0]);
  observed = line.empty() ? absl::StrCat("no line for ", wanted[0]) : absl::StrJoin(line, " ");
  for (size_t i = 1; i < wanted.size(); ++i) {
    if (std::find(line.begin(), line.end(), wanted[i]) != line.end()) continue;
    // The kernel leaves out what has no limit.
    const bool no_limit = absl::EndsWith(wanted[i], "=max") || wanted[i] == "0";
    const std::string name = wanted[i].substr(0, wanted[i].find('=') + 1);
    const bool listed = !name.empty() && observed.find(name) != std::string::npos;
    if (!no_limit || listed) return false;
  }
  return true;
}

struct DefaultLimit {
  bool unified;
  const char* file;
  const char* value;
  const char* pointer;
  bool systemd_has_its_own = false;
};

constexpr DefaultLimit kDefaults[] = {
    {true, "memory.max", "max", "/memory/limit"},
    {true, "memory.high", "max", "/unified/memory.high"},
    {true, "memory.low", "0", "/memory/reservation", true},
    {true, "memory.min", "0", "/unified/memory.min", true},
    {true, "memory.swap.max", "max", "/memory/swap"},
    {true, "pids.max", "max", "/pids/limit", true},
    {true, "cpu.max", "max 100000", "/cpu/quota"},
    {true, "cpu.weight", "100", "/cpu/shares"},
    {true, "cpuset.cpus", "", "/cpu/cpus"},
    {true, "cpuset.mems", "", "/cpu/mems"},
    {true, "io.max", "", "/blockIO"},
    {false, "memory.limit_in_bytes", "-1", "/memory/limit"},
    {false, "pids.max", "max", "/pids/limit", true},
    {false, "cpu.cfs_quota_us", "-1", "/cpu/quota"},
    {false, "cpu.shares", "1024", "/cpu/shares"},
};

class CgroupComparison {
 public:
  CgroupComparison(const DriftSubject& subject, const ProcessDirectory& init, DriftReport& report)
      : subject_(subject), init_(init), report_(report) {}

  void Run() {
    absl::StatusOr<CgroupLayout> layout = ReadCgroupLayout();
    const absl::StatusOr<Resources> resources = ParseResources(subject_.resources);
    if (!layout.ok() || !resources.ok()) {
      const absl::Status& why = layout.ok() ? resources.status() : layout.status();
      return report_.CannotTell(kResourcesPointer, std::string(why.message()));
    }
    for (const CgroupPath& path : subject_.cgroups) {
      absl::StatusOr<UniqueFd> directory = OpenCgroupDirectory({}, path.directory);
      if (!directory.ok()) {
        report_.Differs("/linux/cgroupsPath", path.directory, "no such cgroup", path.directory);
        continue;
      }
      parts_.push_back({path, *std::move(directory)});
    }
    const CgroupSettings settings = CompileSettings(*resources, *layout);
    for (const CgroupSetting& setting : settings.settings) {
      if (setting.controller != "devices") CompareSetting(setting);
    }
    CompareDefaults(*resources);
    if (resources->devices.has_value()) CompareDevicePolicy(*resources->devices);
    CompareMembership(*layout);
  }

 private:
  struct Part {
    CgroupPath path;
    UniqueFd directory;
  };

  const Part* FindPart(bool unified, std::string_view controller) const {
    for (const Part& part : parts_) {
      const std::vector<std::string> names = absl::StrSplit(part.path.controllers, ',');
      if (unified ? part.path.controllers.empty()
                  : std::find(names.begin(), names.end(), std::string(controller)) != names.end()) {
        return &part;
      }
    }
    return nullptr;
  }

  void CompareSetting(const CgroupSetting& setting) {
    std::string file = setting.file;
    std::string wanted = setting.value;
    const Part* const part = FindPart(setting.unified, setting.controller);
    if (part == nullptr) {
      return report_.CannotTell(setting.pointer,
                                absl::StrCat("the container has no ", setting.controller, " cgroup"));
    }
    absl::StatusOr<std::string> text = ReadCgroupFile(part->directory, file);
    if (!text.ok() && !setting.fallback_file.empty()) {
      file = setting.fallback_file;
      wanted = setting.fallback_value;
      text = ReadCgroupFile(part->directory, file);
    }
    seen_.insert({setting.unified, file});
    Compare(setting.pointer, *part, file, wanted, text);
  }

  void Compare(const std::string& pointer, const Part& part, const std::string& file,
               const std::string& wanted, const absl::StatusOr<std::string>& text) {
    if (!text.ok()) return report_.CannotTell(pointer, std::string(text.status().message()));
    std::string observed;
    if (CgroupFileHolds(file, wanted, *text, subject_.systemd, observed)) {
      return report_.Holds(pointer);
    }
    report_.Differs(pointer, wanted.empty() ? "no limit" : wanted,
                    observed.empty() ? "nothing" : observed,
                    absl::StrCat(part.path.directory, "/", file));
  }

  void CompareDefaults(const Resources& resources) {
    for (const DefaultLimit& limit : kDefaults) {
      if (seen_.contains({limit.unified, limit.file})) continue;
      if (limit.systemd_has_its_own && subject_.systemd) continue;
      // Which stands in for a weight.
      if (std::string_view(limit.file) == "cpu.weight" && resources.cpu.idle == 1) continue;
      const std::string controller = std::string(limit.file).substr(
          0, std::string_view(limit.file).find('.'));
      const Part* const part = FindPart(limit.unified, controller);
      if (part == nullptr) continue;
      const absl::StatusOr<std::string> text = ReadCgroupFile(part->directory, limit.file);
      // Without the controller there is no such file, and no limit.
      if (!text.ok()) continue;
      Compare(absl::StrCat(kResourcesPointer, limit.pointer), *part, limit.file, limit.value, text);
    }
  }

  void CompareDevicePolicy(const DevicePolicy& policy) {
    const std::string pointer = absl::StrCat(kResourcesPointer, "/devices");
    if (const Part* const v1 = FindPart(false, "devices")) return CompareV1Devices(*v1, policy);
    const Part* const unified = FindPart(true, "");
    if (unified == nullptr) return report_.CannotTell(pointer, "the container has no cgroup");
    const absl::StatusOr<AttachedDevicePrograms> attached =
        DescribeDevicePrograms(unified->directory, CompileDeviceProgram(policy));
    if (!attached.ok()) {
      return report_.CannotTell(pointer, std::string(attached.status().message()));
    }
    const std::string place = absl::StrCat("device programs of ", unified->path.directory);
    std::vector<std::string> others = attached->others;
    // Its own view of the unit's DeviceAllow; it must agree, and it alone may be beside ours.
    if (subject_.systemd) std::erase(others, "sd_devices");
    if (!attached->ours && subject_.systemd && attached->others.size() == 1) {
      return report_.CannotTell(pointer, "systemd keeps the rules");
    }
    if (attached->ours && others.empty()) return report_.Holds(pointer);
    std::vector<std::string> found;
    if (attached->ours) found.emplace_back("the program of the rules");
    if (!attached->ours) found.emplace_back("not the program of the rules");
    for (const std::string& other : others) found.push_back(absl::StrCat("program ", other));
    report_.Differs(pointer, "the program of the rules", absl::StrJoin(found, ", "), place);
  }

  void CompareV1Devices(const Part& part, const DevicePolicy& policy) {
    const std::string pointer = absl::StrCat(kResourcesPointer, "/devices");
    const std::optional<std::vector<DeviceRule>> allowed = ReduceToAllowList(policy);
    const absl::StatusOr<std::string> text = ReadCgroupFile(part.directory, "devices.list");
    if (!text.ok()) return report_.CannotTell(pointer, std::string(text.status().message()));
    if (!allowed.has_value()) {
      return report_.CannotTell(pointer, "the rules have no form that a v1 cgroup lists");
    }
    std::set<std::string> wanted;
    for (const DeviceRule& rule : *allowed) wanted.insert(DescribeDeviceRule(rule));
    const std::set<std::string> listed = absl::StrSplit(*text, '\n', absl::SkipEmpty());
    std::vector<std::string> missing;
    std::vector<std::string> extra;
    std::set_difference(wanted.begin(), wanted.end(), listed.begin(), listed.end(),
                        std::back_inserter(missing));
    std::set_difference(listed.begin(), listed.end(), wanted.begin(), wanted.end(),
                        std::back_inserter(extra));
    if (missing.empty() && extra.empty()) return report_.Holds(pointer);
    report_.Differs(pointer,
                    missing.empty() ? "nothing more" : absl::StrCat("also ", absl::StrJoin(missing, ", ")),
                    extra.empty() ? "missing" : absl::StrCat("also ", absl::StrJoin(extra, ", ")),
                    absl::StrCat(part.path.directory, "/devices.list"));
  }

  // "0::/ocid/web", "4:memory:/ocid/web": the container may have cgroups below its own.
  void CompareMembership(const CgroupLayout& layout) {
    const absl::StatusOr<std::string> text = init_.Read("cgroup");
    if (!text.ok()) {
      return report_.CannotTell("/linux/cgroupsPath", std::string(text.status().message()));
    }
    for (const Part& part : parts_) {
      const std::string wanted = BelowMount(layout, part.path);
      for (const absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
        const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
        if (fields.size() != 3 || fields[1] != part.path.controllers || wanted.empty()) continue;
        const std::string& is = fields[2];
        // The kernel tells from the reader's cgroup namespace: the mount may begin further below.
        const bool holds = absl::StrContains(is + "/", wanted + "/");
        report_.Compare("/linux/cgroupsPath", wanted, holds ? wanted : is, init_.PathOf("cgroup"));
      }
    }
  }

  static std::string BelowMount(const CgroupLayout& layout, const CgroupPath& path) {
    std::vector<std::string> mounts = {layout.unified_mount};
    for (const V1Hierarchy& hierarchy : layout.v1) mounts.push_back(hierarchy.mount_point);
    for (const std::string& mount : mounts) {
      if (!mount.empty() && absl::StartsWith(path.directory, mount + "/")) {
        std::string below = path.directory.substr(mount.size());
        // A mount of another hierarchy may lie in the folder of this one.
        if (path.controllers.empty() == (mount == layout.unified_mount)) return below;
      }
    }
    return {};
  }

  const DriftSubject& subject_;
  const ProcessDirectory& init_;
  DriftReport& report_;
  std::vector<Part> parts_;
  std::set<std::pair<bool, std::string>> seen_;
};

}  // namespace

bool CgroupFileHolds(std::string_view file, std::string_view wanted, std::string_view text,
                     bool systemd, std::string& observed) {
  const std::vector<std::string> want = Words(wanted);
  const std::vector<std::string> have = Words(text);
  observed = absl::StrJoin(have, " ");
  if (file == "memory.oom_control") {
    const std::vector<std::string> line = LineOf(text, "oom_kill_disable");
    observed = line.size() == 2 ? line[1] : "";
    return observed == wanted;
  }
  if (IsKeyed(file, want)) return KeyedHolds(want, text, observed);
  if (file == "cpu.max") {
    if (systemd) return CpuShare(want) == CpuShare(have);
    for (size_t i = 0; i < want.size(); ++i) {
      if (i >= have.size() || want[i] != have[i]) return false;
    }
    return true;
  }
  if (file == "cpu.max.burst" || want.size() == 1 || want.empty()) {
    const std::string is = have.empty() ? "" : have[0];
    const std::string should = want.empty() ? "" : want[0];
    // "default 100" of io.weight has the default's name before it.
    if (have.size() == 2 && have[0] == "default") return have[1] == should;
    if (have.size() > 1) return false;
    return Normalized(file, should) == Normalized(file, is);
  }
  return want == have;
}

void CompareCgroups(const DriftSubject& subject, const ProcessDirectory& init,
                    DriftReport& report) {
  if (subject.cgroups.empty()) {
    return report.CannotTell(kResourcesPointer, "the container has no control group");
  }
  CgroupComparison(subject, init, report).Run();
}

}  // namespace ocid
