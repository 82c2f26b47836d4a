#include "runtime/oci/oci_validate.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/json_text.h"
#include "runtime/oci/oci_version.h"
#include "runtime/oci/schema_check.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 16> kRlimitTypes = {
    "RLIMIT_AS",     "RLIMIT_CORE",   "RLIMIT_CPU",        "RLIMIT_DATA",
    "RLIMIT_FSIZE",  "RLIMIT_LOCKS",  "RLIMIT_MEMLOCK",    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",   "RLIMIT_NOFILE", "RLIMIT_NPROC",      "RLIMIT_RSS",
    "RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK"};

// Unsigned in the specification, and too wide for the schema's checker, which counts in int64.
constexpr std::array<std::string_view, 5> kUnsignedPointers = {
    "/linux/resources/cpu/shares", "/linux/resources/cpu/burst", "/linux/resources/cpu/period",
    "/linux/resources/cpu/realtimePeriod", "/process/scheduler/period"};

std::string Quoted(std::string_view text) {
  std::string quoted;
  AppendJsonString(text.substr(0, 200), quoted);
  return quoted;
}

// Runs on documents of any shape: what has the wrong type is the schema's to report.
class SemanticCheck {
 public:
  explicit SemanticCheck(const Json& document) : document_(document) {}

  std::vector<Violation> Run() && {
    CheckStrings(document_, "");
    CheckVersion();
    CheckProcess();
    CheckMounts();
    CheckHooks();
    CheckNamespaces();
    CheckDevices();
    CheckResources();
    CheckSeccomp();
    CheckLinuxPaths();
    CheckSysctls();
    CheckIntelRdt();
    return std::move(violations_);
  }

 private:
  void Report(std::string pointer, std::string message) {
    violations_.push_back({std::move(pointer), std::move(message)});
  }

  const Json* At(std::string_view pointer) const { return ResolvePointer(document_, pointer); }

  std::optional<std::string_view> StringAt(std::string_view pointer) const {
    return StringOf(At(pointer));
  }

  static std::optional<std::string_view> StringOf(const Json* value) {
    if (value == nullptr || !value->is_string()) return std::nullopt;
    return value->get_ref<const std::string&>();
  }

  // Calls `visit(pointer, element)` for the elements of the array at `pointer`, if it is one.
  template <typename Visit>
  void ForEach(std::string_view pointer, const Visit& visit) const {
    const Json* array = At(pointer);
    if (array == nullptr || !array->is_array()) return;
    for (size_t i = 0; i < array->size(); ++i) visit(JoinPointer(pointer, i), (*array)[i]);
  }

  void CheckUnsigned(const std::string& pointer, const Json* value) {
    if (value != nullptr && value->type() == Json::value_t::number_integer &&
        value->get<int64_t>() < 0) {
      Report(pointer, absl::StrCat(CanonicalJson(*value), " must not be negative"));
    }
  }

  void CheckAbsolute(const std::string& pointer, const Json* value) {
    const std::optional<std::string_view> path = StringOf(value);
    if (path.has_value() && !path->starts_with('/')) {
      Report(pointer, absl::StrCat("path ", Quoted(*path), " must be absolute"));
    }
  }

  bool HasNamespace(std::string_view type) const {
    bool found = false;
    ForEach("/linux/namespaces", [&](const std::string&, const Json& entry) {
      found = found || StringOf(FindMember(entry, "type")) == type;
    });
    return found;
  }

  // The executor hands these to the kernel as C strings, and records are JSON.
  void CheckString(std::string_view text, const std::string& pointer) {
    if (text.find('\0') != text.npos) Report(pointer, "holds a NUL byte");
    if (!IsValidUtf8(text)) Report(pointer, "is not valid UTF-8");
  }

  void CheckStrings(const Json& value, std::string pointer) {
    if (value.is_string()) {
      CheckString(value.get_ref<const std::string&>(), pointer);
    } else if (value.is_array()) {
      for (size_t i = 0; i < value.size(); ++i) {
        if (NeedsCheck(value[i])) CheckStrings(value[i], JoinPointer(pointer, i));
      }
    } else if (value.is_object()) {
      for (const auto& [name, member] : value.get_ref<const Json::object_t&>()) {
        if (!IsPlain(name)) CheckString(name, JoinPointer(pointer, name));
        if (NeedsCheck(member)) CheckStrings(member, JoinPointer(pointer, name));
      }
    }
  }

  // True for what is beyond doubt at a glance; nearly every string is, and then needs no pointer.
  static bool IsPlain(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c > 0; });
  }
  static bool NeedsCheck(const Json& value) {
    if (value.is_string()) return !IsPlain(value.get_ref<const std::string&>());
    return value.is_structured();
  }

  void CheckVersion() {
    const std::optional<std::string_view> text = StringAt("/ociVersion");
    if (!text.has_value()) return;
    const std::optional<SemanticVersion> version = ParseSemanticVersion(*text);
    if (!version.has_value()) {
      Report("/ociVersion", absl::StrCat(Quoted(*text), " is not a semantic version"));
    } else if (version->major != 1) {
      Report("/ociVersion", absl::StrCat("major version ", version->major, " is not supported"));
    }
  }

  void CheckProcess() {
    CheckAbsolute("/process/cwd", At("/process/cwd"));
    const Json* args = At("/process/args");
    if (args != nullptr && args->is_array() && args->empty()) {
      Report("/process/args", "must not be empty");
    }
    for (const std::string_view pointer : {"/process/user/uid", "/process/user/gid"}) {
      const Json* id = At(pointer);
      if (id != nullptr && id->is_number_unsigned() && id->get<uint64_t>() == UINT32_MAX) {
        Report(std::string(pointer), "4294967295 is no id: the kernel takes it for \"unchanged\"");
      }
    }
    const Json* umask = At("/process/user/umask");
    if (umask != nullptr && umask->is_number_unsigned() && umask->get<uint64_t>() > 0777) {
      Report("/process/user/umask", "must not be above 511 (0777)");
    }
    for (const std::string_view pointer : kUnsignedPointers) {
      CheckUnsigned(std::string(pointer), At(pointer));
    }
    CheckRlimits();
  }

  void CheckRlimits() {
    std::set<std::string_view> seen;
    ForEach("/process/rlimits", [&](const std::string& pointer, const Json& rlimit) {
      const std::optional<std::string_view> type = StringOf(FindMember(rlimit, "type"));
      if (!type.has_value()) return;
      if (std::find(kRlimitTypes.begin(), kRlimitTypes.end(), *type) == kRlimitTypes.end()) {
        Report(pointer + "/type", absl::StrCat("unknown resource limit ", Quoted(*type)));
      } else if (!seen.insert(*type).second) {
        Report(pointer + "/type", absl::StrCat("resource limit ", Quoted(*type), " occurs twice"));
      }
      const Json* soft = FindMember(rlimit, "soft");
      const Json* hard = FindMember(rlimit, "hard");
      CheckUnsigned(pointer + "/soft", soft);
      CheckUnsigned(pointer + "/hard", hard);
      if (soft != nullptr && hard != nullptr && soft->is_number_unsigned() &&
          hard->is_number_unsigned() && soft->get<uint64_t>() > hard->get<uint64_t>()) {
        Report(pointer + "/soft", absl::StrCat(soft->get<uint64_t>(), " is above the hard limit ",
                                               hard->get<uint64_t>()));
      }
    });
  }

  void CheckMounts() {
    ForEach("/mounts", [&](const std::string& pointer, const Json& mount) {
      const bool uids = FindMember(mount, "uidMappings") != nullptr;
      const bool gids = FindMember(mount, "gidMappings") != nullptr;
      if (uids != gids) Report(pointer, "needs both uidMappings and gidMappings, or neither");
    });
  }

  void CheckHooks() {
    const Json* hooks = At("/hooks");
    if (hooks == nullptr || !hooks->is_object()) return;
    for (const auto& [when, list] : hooks->get_ref<const Json::object_t&>()) {
      ForEach(JoinPointer("/hooks", when), [&](const std::string& pointer, const Json& hook) {
        CheckAbsolute(pointer + "/path", FindMember(hook, "path"));
      });
    }
  }

  void CheckNamespaces() {
    std::set<std::string_view> seen;
    ForEach("/linux/namespaces", [&](const std::string& pointer, const Json& entry) {
      const std::optional<std::string_view> type = StringOf(FindMember(entry, "type"));
      if (type.has_value() && !seen.insert(*type).second) {
        Report(pointer + "/type", absl::StrCat("namespace ", Quoted(*type), " occurs twice"));
      }
      const std::optional<std::string_view> path = StringOf(FindMember(entry, "path"));
      if (path.has_value() && !path->empty()) {
        CheckAbsolute(pointer + "/path", FindMember(entry, "path"));
      }
    });
    const auto needs = [&](std::string_view pointer, std::string_view type) {
      const Json* value = At(pointer);
      if (value == nullptr || value->empty() || StringOf(value) == "" || seen.contains(type))
        return;
      Report(std::string(pointer), absl::StrCat("needs a namespace of type ", Quoted(type)));
    };
    needs("/hostname", "uts");
    needs("/domainname", "uts");
    needs("/linux/uidMappings", "user");
    needs("/linux/gidMappings", "user");
    needs("/linux/timeOffsets", "time");
    for (const std::string_view mappings : {"/linux/uidMappings", "/linux/gidMappings"}) {
      ForEach(mappings, [&](const std::string& pointer, const Json& mapping) {
        const Json* size = FindMember(mapping, "size");
        if (size != nullptr && *size == 0) Report(pointer + "/size", "must not be 0");
      });
    }
    const Json* offsets = At("/linux/timeOffsets");
    if (offsets == nullptr || !offsets->is_object()) return;
    for (const auto& [clock, offset] : offsets->get_ref<const Json::object_t&>()) {
      if (clock == "monotonic" || clock == "boottime") continue;
      Report(JoinPointer("/linux/timeOffsets", clock), "must be monotonic or boottime");
    }
  }

  void CheckDevices() {
    ForEach("/linux/devices", [&](const std::string& pointer, const Json& device) {
      CheckAbsolute(pointer + "/path", FindMember(device, "path"));
      const std::optional<std::string_view> type = StringOf(FindMember(device, "type"));
      if (!type.has_value() || *type == "p") return;
      for (const std::string_view number : {"major", "minor"}) {
        const Json* value = FindMember(device, number);
        if (value == nullptr) Report(JoinPointer(pointer, number), "is required for a device node");
        CheckUnsigned(JoinPointer(pointer, number), value);
      }
    });
  }

  void CheckResources() {
    ForEach("/linux/resources/devices", [&](const std::string& pointer, const Json& rule) {
      const std::optional<std::string_view> access = StringOf(FindMember(rule, "access"));
      if (access.has_value() && access->find_first_not_of("rwm") != access->npos) {
        Report(pointer + "/access", absl::StrCat(Quoted(*access), " may only hold r, w and m"));
      }
    });
    ForEach("/linux/resources/hugepageLimits", [&](const std::string& pointer, const Json& limit) {
      CheckUnsigned(pointer + "/limit", FindMember(limit, "limit"));
    });
    for (const std::string_view list :
         {"throttleReadBpsDevice", "throttleWriteBpsDevice", "throttleReadIOPSDevice",
          "throttleWriteIOPSDevice"}) {
      ForEach(JoinPointer("/linux/resources/blockIO", list),
              [&](const std::string& pointer, const Json& device) {
                CheckUnsigned(pointer + "/rate", FindMember(device, "rate"));
              });
    }
    const Json* unified = At("/linux/resources/unified");
    if (unified != nullptr && unified->is_object()) {
      for (const auto& [file, value] : unified->get_ref<const Json::object_t&>()) {
        if (!file.empty() && file != "." && file != ".." && file.find('/') == file.npos) continue;
        Report(JoinPointer("/linux/resources/unified", file), "must be the name of a file");
      }
    }
    const std::optional<std::string_view> path = StringAt("/linux/cgroupsPath");
    if (path.has_value() &&
        absl::StrCat("/", absl::string_view(path->data(), path->size()), "/").find("/../") !=
            std::string::npos) {
      Report("/linux/cgroupsPath", "must not hold \"..\"");
    }
  }

  void CheckSeccomp() {
    bool notifies = StringAt("/linux/seccomp/defaultAction") == "SCMP_ACT_NOTIFY";
    ForEach("/linux/seccomp/syscalls", [&](const std::string& pointer, const Json& rule) {
      notifies = notifies || StringOf(FindMember(rule, "action")) == "SCMP_ACT_NOTIFY";
      ForEach(pointer + "/args", [&](const std::string& argument, const Json& condition) {
        CheckUnsigned(argument + "/value", FindMember(condition, "value"));
        CheckUnsigned(argument + "/valueTwo", FindMember(condition, "valueTwo"));
      });
    });
    const bool listens = StringAt("/linux/seccomp/listenerPath").value_or("") != "";
    if (notifies && !listens) {
      Report("/linux/seccomp/listenerPath", "is required by SCMP_ACT_NOTIFY");
    }
    if (!listens && StringAt("/linux/seccomp/listenerMetadata").value_or("") != "") {
      Report("/linux/seccomp/listenerMetadata", "needs a listenerPath");
    }
  }

  void CheckLinuxPaths() {
    for (const std::string_view list : {"/linux/maskedPaths", "/linux/readonlyPaths"}) {
      ForEach(list,
              [&](const std::string& pointer, const Json& path) { CheckAbsolute(pointer, &path); });
    }
    const Json* annotations = At("/annotations");
    if (annotations != nullptr && FindMember(*annotations, "") != nullptr) {
      Report("/annotations/", "the name of an annotation must not be empty");
    }
  }

  // Only what a namespace of the container holds apart from the host may be set for it.
  void CheckSysctls() {
    const Json* sysctls = At("/linux/sysctl");
    if (sysctls == nullptr || !sysctls->is_object()) return;
    for (const auto& [written, value] : sysctls->get_ref<const Json::object_t&>()) {
      const std::string pointer = JoinPointer("/linux/sysctl", written);
      std::string name = written;
      // sysctl(8): where the first separator is "/", the two change their meaning.
      if (const size_t first = name.find_first_of("./"); first != name.npos && name[first] == '/') {
        for (char& c : name) c = c == '/' ? '.' : c == '.' ? '/' : c;
      }
      const std::string_view type = NamespaceOfSysctl(name);
      if (name.find("..") != name.npos) {
        Report(pointer, "is no name of a sysctl");
      } else if (type.empty()) {
        Report(pointer, "is not kept apart by any namespace: it would change the host");
      } else if (!HasNamespace(type)) {
        Report(pointer, absl::StrCat("needs a namespace of type ", Quoted(type)));
      }
    }
  }

  static std::string_view NamespaceOfSysctl(std::string_view name) {
    constexpr std::array<std::string_view, 8> kIpc = {
        "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
        "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"};
    if (name.starts_with("net.")) return "network";
    if (name.starts_with("fs.mqueue.")) return "ipc";
    if (std::find(kIpc.begin(), kIpc.end(), name) != kIpc.end()) return "ipc";
    if (name == "kernel.domainname" || name == "kernel.hostname") return "uts";
    if (name.starts_with("user.")) return "user";
    return "";
  }

  // The name becomes a directory of resctrl; "/" alone is the root group.
  void CheckIntelRdt() {
    const std::optional<std::string_view> id = StringAt("/linux/intelRdt/closID");
    if (!id.has_value() || id->empty() || *id == "/") return;
    if (*id == "." || *id == ".." || id->find_first_of("/\n") != id->npos || id->size() >= 4096) {
      Report("/linux/intelRdt/closID", absl::StrCat(Quoted(*id), " is no name of a directory"));
    }
  }

  const Json& document_;
  std::vector<Violation> violations_;
};

}  // namespace

std::vector<Violation> Validate(const OciSpec& spec) {
  std::vector<Violation> violations = SchemaViolations(spec.json());
  std::vector<Violation> semantic = SemanticCheck(spec.json()).Run();
  violations.insert(violations.end(), std::make_move_iterator(semantic.begin()),
                    std::make_move_iterator(semantic.end()));
  std::stable_sort(violations.begin(), violations.end(),
                   [](const Violation& a, const Violation& b) { return a.pointer < b.pointer; });
  if (violations.size() > kMostViolations) violations.resize(kMostViolations);
  return violations;
}

std::vector<Violation> ValidateMeaning(const OciSpec& spec) {
  return SemanticCheck(spec.json()).Run();
}

absl::Status ViolationsToStatus(const std::vector<Violation>& violations) {
  if (violations.empty()) return absl::OkStatus();
  std::string message =
      absl::StrCat("OCI spec: ", violations[0].pointer, ": ", violations[0].message);
  if (violations.size() > 1) {
    absl::StrAppend(&message, " (and ", violations.size() - 1, " more)");
  }
  absl::Status status = MakeError(absl::StatusCode::kInvalidArgument, "SPEC_INVALID", message);
  for (const Violation& violation : violations) {
    AddFieldViolation(status, violation.pointer, violation.message);
  }
  return status;
}

}  // namespace ocid
