#include "runtime/seccomp/seccomp_profile.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "runtime/oci/json_cursor.h"

namespace ocid {
namespace {

struct NamedAction {
  std::string_view name;
  SeccompAction action;
  bool takes_number;
};

constexpr NamedAction kActions[] = {
    {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW, false},
    {"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0), true},
    {"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD, false},
    {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS, false},
    {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD, false},
    {"SCMP_ACT_LOG", SCMP_ACT_LOG, false},
    {"SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY, false},
    {"SCMP_ACT_TRACE", SCMP_ACT_TRACE(0), true},
    {"SCMP_ACT_TRAP", SCMP_ACT_TRAP, false},
};

constexpr std::pair<std::string_view, SeccompOperator> kOperators[] = {
    {"SCMP_CMP_EQ", SeccompOperator::kEq}, {"SCMP_CMP_GE", SeccompOperator::kGe},
    {"SCMP_CMP_GT", SeccompOperator::kGt}, {"SCMP_CMP_LE", SeccompOperator::kLe},
    {"SCMP_CMP_LT", SeccompOperator::kLt}, {"SCMP_CMP_MASKED_EQ", SeccompOperator::kMaskedEq},
    {"SCMP_CMP_NE", SeccompOperator::kNe},
};

constexpr std::pair<std::string_view, uint32_t> kFlags[] = {
    {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
    {"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
    {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV},
};

constexpr std::string_view kArchitectures[] = {
    "SCMP_ARCH_AARCH64",  "SCMP_ARCH_ARM",         "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",     "SCMP_ARCH_MIPS64",      "SCMP_ARCH_MIPS64N32",   "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PARISC",      "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",      "SCMP_ARCH_PPC64",       "SCMP_ARCH_PPC64LE",     "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",     "SCMP_ARCH_S390X",       "SCMP_ARCH_SH",          "SCMP_ARCH_SHEB",
    "SCMP_ARCH_X32",      "SCMP_ARCH_X86",         "SCMP_ARCH_X86_64",
};

constexpr uint64_t kMaxErrno = 4095;  // MAX_ERRNO of the kernel
constexpr uint64_t kMaxTrace = 0xffff;

const NamedAction* FindAction(std::string_view name) {
  for (const NamedAction& action : kActions) {
    if (action.name == name) return &action;
  }
  return nullptr;
}

// libseccomp's number; nothing for one that this libseccomp does not know. What runs under such an
// architecture is killed, as for every other that is not listed.
std::optional<uint32_t> ArchitectureNumber(std::string_view name) {
  constexpr std::string_view kPrefix = "SCMP_ARCH_";
  std::string lower(name.substr(kPrefix.size()));
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const uint32_t number = seccomp_arch_resolve_name(lower.c_str());
  if (number == 0) return std::nullopt;
  return number;
}

SeccompAction ReadAction(const JsonCursor& action, const JsonCursor& number) {
  const std::string name = action.String();
  const NamedAction* known = FindAction(name);
  if (known == nullptr) {
    action.Invalid(action.exists() ? absl::StrCat("unknown action ", name) : "is missing");
    return SCMP_ACT_KILL_PROCESS;
  }
  if (!known->takes_number) {
    if (number.exists()) number.Invalid(absl::StrCat(name, " takes no errno"));
    return known->action;
  }
  const bool is_errno = known->action == SCMP_ACT_ERRNO(0);
  const uint64_t value = number.Unsigned(EPERM, is_errno ? kMaxErrno : kMaxTrace);
  return known->action | static_cast<uint32_t>(value);
}

SeccompCondition ReadCondition(const JsonCursor& argument) {
  SeccompCondition condition;
  condition.index = static_cast<uint32_t>(argument["index"].Unsigned(0, 5));
  condition.value = argument["value"].Unsigned();
  condition.value_two = argument["valueTwo"].Unsigned();
  const std::string name = argument["op"].String();
  const auto* found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                   [&name](const auto& entry) { return entry.first == name; });
  if (found == std::end(kOperators)) {
    argument["op"].Invalid(absl::StrCat("unknown operator ", name));
  } else {
    condition.op = found->second;
  }
  return condition;
}

SeccompRule ReadRule(const JsonCursor& entry) {
  SeccompRule rule;
  rule.names = entry["names"].Strings();
  if (rule.names.empty()) entry["names"].Invalid("must name at least one system call");
  rule.action = ReadAction(entry["action"], entry["errnoRet"]);
  for (const JsonCursor& argument : entry["args"].Elements()) {
    rule.conditions.push_back(ReadCondition(argument));
  }
  return rule;
}

uint32_t ReadFlags(const JsonCursor& list) {
  uint32_t flags = 0;
  for (const JsonCursor& element : list.Elements()) {
    const std::string name = element.String();
    const auto* found = std::find_if(std::begin(kFlags), std::end(kFlags),
                                     [&name](const auto& entry) { return entry.first == name; });
    if (found == std::end(kFlags)) {
      element.Invalid(absl::StrCat("unknown flag ", name));
    } else {
      flags |= found->second;
    }
  }
  return flags;
}

std::vector<uint32_t> ReadArchitectures(const JsonCursor& list) {
  std::vector<uint32_t> architectures;
  for (const JsonCursor& element : list.Elements()) {
    const std::string name = element.String();
    if (std::find(std::begin(kArchitectures), std::end(kArchitectures), name) ==
        std::end(kArchitectures)) {
      element.Invalid(absl::StrCat("unknown architecture ", name));
      continue;
    }
    const std::optional<uint32_t> number = ArchitectureNumber(name);
    if (number.has_value()) architectures.push_back(*number);
  }
  return architectures;
}

template <typename Table, typename Project>
std::vector<std::string> Names(const Table& table, Project project) {
  std::vector<std::string> names;
  for (const auto& entry : table) names.emplace_back(project(entry));
  return names;
}

}  // namespace

absl::StatusOr<SeccompProfile> ParseSeccompProfile(const nlohmann::json& seccomp,
                                                   std::string_view pointer) {
  absl::Status error;
  const JsonCursor root(seccomp, std::string(pointer), &error);
  SeccompProfile profile;
  profile.default_action = ReadAction(root["defaultAction"], root["defaultErrnoRet"]);
  profile.architectures = ReadArchitectures(root["architectures"]);
  profile.flags = ReadFlags(root["flags"]);
  for (const JsonCursor& entry : root["syscalls"].Elements()) {
    profile.rules.push_back(ReadRule(entry));
    profile.notifies |= profile.rules.back().action == SCMP_ACT_NOTIFY;
  }
  // The supervisor itself would have to be answered before it could answer.
  if (profile.default_action == SCMP_ACT_NOTIFY) {
    root["defaultAction"].Invalid("SCMP_ACT_NOTIFY cannot be the default");
  }
  profile.listener_path = root["listenerPath"].String();
  profile.listener_metadata = root["listenerMetadata"].String();
  if (profile.listener_path.empty() && !profile.listener_metadata.empty()) {
    root["listenerMetadata"].Invalid("needs a listenerPath");
  }
  if (profile.notifies && profile.listener_path.empty()) {
    root["listenerPath"].Invalid("is missing, and a rule has SCMP_ACT_NOTIFY");
  }
  if (!error.ok()) return error;
  return profile;
}

std::vector<std::string> SeccompActionNames() {
  return Names(kActions, [](const NamedAction& action) { return action.name; });
}

std::vector<std::string> SeccompOperatorNames() {
  return Names(kOperators, [](const auto& entry) { return entry.first; });
}

std::vector<std::string> SeccompArchitectureNames() {
  return Names(kArchitectures, [](std::string_view name) { return name; });
}

std::vector<std::string> SeccompFlagNames() {
  return Names(kFlags, [](const auto& entry) { return entry.first; });
}

}  // namespace ocid
