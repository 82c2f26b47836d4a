#include "runtime/seccomp/seccomp_template.h"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "runtime/oci/json_cursor.h"
#include "runtime/seccomp/default_seccomp.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

struct Architecture {
  std::string_view machine;  // of uname(2)
  std::string_view go;
  std::string_view seccomp;
};

constexpr std::array<Architecture, 9> kArchitectures = {{
    {"x86_64", "amd64", "SCMP_ARCH_X86_64"},
    {"i686", "x86", "SCMP_ARCH_X86"},
    {"aarch64", "arm64", "SCMP_ARCH_AARCH64"},
    {"armv7l", "arm", "SCMP_ARCH_ARM"},
    {"ppc64le", "ppc64le", "SCMP_ARCH_PPC64LE"},
    {"s390x", "s390x", "SCMP_ARCH_S390X"},
    {"riscv64", "riscv64", "SCMP_ARCH_RISCV64"},
    {"mips64", "mips64", "SCMP_ARCH_MIPS64"},
    {"loongarch64", "loong64", "SCMP_ARCH_LOONGARCH64"},
}};

std::pair<int, int> ParseKernel(const std::string& release) {
  std::pair<int, int> version{0, 0};
  if (std::sscanf(release.c_str(), "%d.%d", &version.first, &version.second) != 2) return {0, 0};
  return version;
}

bool Contains(const std::vector<std::string>& list, const std::string& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

struct Conditions {
  std::vector<std::string> capabilities;
  std::vector<std::string> architectures;
  std::pair<int, int> kernel = {0, 0};  // 0: any
};

Conditions ReadConditions(const JsonCursor& cursor) {
  Conditions conditions{.capabilities = cursor["caps"].Strings(),
                        .architectures = cursor["arches"].Strings()};
  const std::string kernel = cursor["minKernel"].String();
  if (!kernel.empty()) {
    conditions.kernel = ParseKernel(kernel);
    if (conditions.kernel.first == 0) cursor["minKernel"].Invalid("must be a version such as 4.8");
  }
  for (const auto& [name, member] : cursor.Members()) {
    if (name != "caps" && name != "arches" && name != "minKernel") {
      member.Invalid("is no condition that this program knows");
    }
  }
  return conditions;
}

// Every condition of `includes` holds, and none of `excludes`.
bool IsMeant(const JsonCursor& rule, const SeccompTarget& target) {
  const Conditions includes = ReadConditions(rule["includes"]);
  const Conditions excludes = ReadConditions(rule["excludes"]);
  const auto has = [&target](const std::string& name) {
    return Contains(target.capabilities, name);
  };
  if (!std::all_of(includes.capabilities.begin(), includes.capabilities.end(), has)) return false;
  if (std::any_of(excludes.capabilities.begin(), excludes.capabilities.end(), has)) return false;
  if (!includes.architectures.empty() && !Contains(includes.architectures, target.architecture)) {
    return false;
  }
  if (Contains(excludes.architectures, target.architecture)) return false;
  if (includes.kernel > target.kernel) return false;
  return excludes.kernel.first == 0 || excludes.kernel > target.kernel;
}

// The entry of archMap for the target's architecture: it and those it can also run.
Json ArchitecturesFor(const JsonCursor& map, const SeccompTarget& target) {
  Json architectures = Json::array();
  const auto* known =
      std::find_if(kArchitectures.begin(), kArchitectures.end(),
                   [&target](const Architecture& a) { return a.go == target.architecture; });
  for (const JsonCursor& entry : map.Elements()) {
    const std::string name = entry["architecture"].String();
    const std::vector<std::string> others = entry["subArchitectures"].Strings();
    if (known == kArchitectures.end() || name != known->seccomp) continue;
    architectures.push_back(name);
    for (const std::string& other : others) architectures.push_back(other);
  }
  return architectures;
}

Json RuleOf(const JsonCursor& cursor) {
  Json rule = *cursor.value();
  for (const char* name : {"includes", "excludes", "comment"}) rule.erase(name);
  // The oldest profiles have one name a rule.
  if (rule.contains("name")) {
    rule["names"] = Json::array({cursor["name"].String()});
    rule.erase("name");
  }
  if (rule.contains("args") && (rule["args"].is_null() || rule["args"].empty())) rule.erase("args");
  return rule;
}

}  // namespace

SeccompTarget SeccompTargetHere(std::vector<std::string> capabilities) {
  SeccompTarget target{.capabilities = std::move(capabilities)};
  utsname names{};
  if (uname(&names) != 0) return target;
  const auto* known =
      std::find_if(kArchitectures.begin(), kArchitectures.end(),
                   [&names](const Architecture& a) { return a.machine == names.machine; });
  target.architecture = known == kArchitectures.end() ? names.machine : std::string(known->go);
  target.kernel = ParseKernel(names.release);
  return target;
}

absl::StatusOr<Json> ResolveSeccompTemplate(const Json& profile, const SeccompTarget& target) {
  absl::Status error;
  const JsonCursor root(profile, "", &error);
  if (!profile.is_object()) root.Invalid("must be an object");
  Json resolved = Json::object();
  for (const auto& [name, member] : root.Members()) {
    if (name == "archMap") {
      Json architectures = ArchitecturesFor(member, target);
      if (!architectures.empty()) resolved["architectures"] = std::move(architectures);
    } else if (name != "syscalls") {
      resolved[name] = *member.value();
    }
  }
  Json rules = Json::array();
  for (const JsonCursor& rule : root["syscalls"].Elements()) {
    const bool meant = IsMeant(rule, target);
    if (rule.failed()) break;
    if (meant) rules.push_back(RuleOf(rule));
  }
  if (!error.ok()) return error;
  resolved["syscalls"] = std::move(rules);
  return resolved;
}

std::string_view DefaultSeccompTemplate() { return kDefaultSeccompJson; }

}  // namespace ocid
