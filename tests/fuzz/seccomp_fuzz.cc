// A random seccomp profile, compiled by libseccomp and run by the evaluator, says about random
// system calls what reading the profile directly says.
#include <linux/seccomp.h>
#include <seccomp.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <vector>

#include "runtime/seccomp/bpf_compile.h"
#include "runtime/seccomp/bpf_evaluator.h"
#include "runtime/seccomp/seccomp_profile.h"
#include "tests/fuzz/fuzz_input.h"

namespace ocid {
namespace {

using nlohmann::json;

constexpr const char* kNames[] = {"read",   "write", "openat",      "close",  "clone",
                                  "socket", "ioctl", "personality", "reboot", "nosuchcall"};
constexpr const char* kActions[] = {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO",        "SCMP_ACT_LOG",
                                    "SCMP_ACT_TRAP",  "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL"};
constexpr const char* kOperators[] = {"SCMP_CMP_NE",       "SCMP_CMP_LT", "SCMP_CMP_LE",
                                      "SCMP_CMP_EQ",       "SCMP_CMP_GE", "SCMP_CMP_GT",
                                      "SCMP_CMP_MASKED_EQ"};

// Values near each other and near the borders of the two halves, where comparisons go wrong.
uint64_t TakeValue(FuzzInput& input) {
  constexpr uint64_t kBorders[] = {0,          1,           0x7fffffff,         0x80000000,
                                   0xffffffff, 0x100000000, 0x7fffffffffffffff, 0xffffffffffffffff};
  if (input.Below(4) == 0) return input.Take<uint64_t>();
  return kBorders[input.Below(std::size(kBorders))] + input.Below(3) - 1;
}

json TakeProfile(FuzzInput& input) {
  json profile = {{"defaultAction", kActions[input.Below(std::size(kActions))]},
                  {"syscalls", json::array()}};
  if (profile["defaultAction"] == "SCMP_ACT_ERRNO") profile["defaultErrnoRet"] = input.Below(200);
  for (uint32_t rules = input.Below(8); rules > 0; --rules) {
    json rule = {{"names", json::array()}, {"action", kActions[input.Below(std::size(kActions))]}};
    if (rule["action"] == "SCMP_ACT_ERRNO") rule["errnoRet"] = input.Below(200);
    const uint32_t names = 1 + input.Below(3);
    for (uint32_t conditions = input.Below(4); conditions > 0; --conditions) {
      rule["args"].push_back({{"index", input.Below(6)},
                              {"op", kOperators[input.Below(std::size(kOperators))]},
                              {"value", TakeValue(input)},
                              {"valueTwo", TakeValue(input)}});
    }
    for (uint32_t i = 0; i < names; ++i) {
      rule["names"].push_back(kNames[input.Below(std::size(kNames))]);
    }
    profile["syscalls"].push_back(rule);
  }
  return profile;
}

bool Holds(const SeccompCondition& condition, uint64_t argument) {
  switch (condition.op) {
    case SeccompOperator::kNe:
      return argument != condition.value;
    case SeccompOperator::kLt:
      return argument < condition.value;
    case SeccompOperator::kLe:
      return argument <= condition.value;
    case SeccompOperator::kEq:
      return argument == condition.value;
    case SeccompOperator::kGe:
      return argument >= condition.value;
    case SeccompOperator::kGt:
      return argument > condition.value;
    case SeccompOperator::kMaskedEq:
      return (argument & condition.value) == (condition.value_two & condition.value);
  }
  return false;
}

bool Matches(const SeccompRule& rule, int number, const seccomp_data& call) {
  const bool named = std::any_of(rule.names.begin(), rule.names.end(), [&](const auto& name) {
    return seccomp_syscall_resolve_name(name.c_str()) == number;
  });
  if (!named) return false;
  std::set<uint32_t> indexes;
  for (const SeccompCondition& condition : rule.conditions) indexes.insert(condition.index);
  const auto holds = [&](const SeccompCondition& condition) {
    return Holds(condition, call.args[condition.index]);
  };
  if (indexes.size() < rule.conditions.size()) {
    return std::any_of(rule.conditions.begin(), rule.conditions.end(), holds);
  }
  return std::all_of(rule.conditions.begin(), rule.conditions.end(), holds);
}

// What the profile may answer. Rules without conditions win; where they differ, libseccomp chooses.
std::set<uint32_t> AllowedAnswers(const SeccompProfile& profile, const seccomp_data& call) {
  std::set<uint32_t> answers;
  std::optional<uint32_t> first_match;
  for (const SeccompRule& rule : profile.rules) {
    if (rule.action == profile.default_action || !Matches(rule, call.nr, call)) continue;
    if (rule.conditions.empty()) answers.insert(rule.action);
    if (!first_match.has_value()) first_match = rule.action;
  }
  if (answers.empty()) answers.insert(first_match.value_or(profile.default_action));
  return answers;
}

std::string Describe(const json& profile, const seccomp_data& call, uint32_t answer) {
  json text = {{"profile", profile}, {"nr", call.nr}, {"args", call.args}, {"answer", answer}};
  return text.dump();
}

}  // namespace
}  // namespace ocid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ocid::FuzzInput input(data, size);
  const nlohmann::json text = ocid::TakeProfile(input);
  const absl::StatusOr<ocid::SeccompProfile> profile = ocid::ParseSeccompProfile(text);
  FUZZ_CHECK(profile.ok(), text.dump() + "\n" + profile.status().ToString());
  const absl::StatusOr<ocid::SeccompProgram> program = ocid::CompileSeccomp(*profile);
  // Rules that contradict each other.
  if (program.status().code() == absl::StatusCode::kInvalidArgument) return 0;
  FUZZ_CHECK(program.ok(), text.dump() + "\n" + program.status().ToString());
  if (program->bpf.empty()) return 0;

  for (int calls = 0; calls < 16; ++calls) {
    seccomp_data call = {};
    call.arch = seccomp_arch_native();
    call.nr = seccomp_syscall_resolve_name(ocid::kNames[input.Below(std::size(ocid::kNames) - 1)]);
    for (auto& argument : call.args) argument = ocid::TakeValue(input);
    const absl::StatusOr<uint32_t> answer = ocid::EvaluateSeccomp(program->bpf, call);
    FUZZ_CHECK(answer.ok(), text.dump() + "\n" + answer.status().ToString());
    FUZZ_CHECK(ocid::AllowedAnswers(*profile, call).count(*answer) == 1,
               ocid::Describe(text, call, *answer));
  }
  return 0;
}
