// SeccompProfile: linux.seccomp of an OCI spec, checked and typed, with the kernel's numbers in
// place of its names.
//
// A value. Thread-compatible; nothing blocks.
//
// Source: runtime-spec config-linux.md#seccomp; seccomp(2).
#ifndef OCID_RUNTIME_SECCOMP_SECCOMP_PROFILE_H_
#define OCID_RUNTIME_SECCOMP_SECCOMP_PROFILE_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace ocid {

// An action as libseccomp takes it: SCMP_ACT_*, with the errno or trace number in the low bits.
using SeccompAction = uint32_t;

enum class SeccompOperator { kNe, kLt, kLe, kEq, kGe, kGt, kMaskedEq };

struct SeccompCondition {
  uint32_t index = 0;  // of the argument, 0 to 5
  SeccompOperator op = SeccompOperator::kEq;
  uint64_t value = 0;
  uint64_t value_two = 0;  // kMaskedEq: what the masked argument must be; `value` is the mask

  friend bool operator==(const SeccompCondition&, const SeccompCondition&) = default;
};

struct SeccompRule {
  std::vector<std::string> names;
  SeccompAction action = 0;
  // All must hold. Several for one argument mean any of them, as the runtimes before us have it.
  std::vector<SeccompCondition> conditions;
};

struct SeccompProfile {
  SeccompAction default_action = 0;
  std::vector<uint32_t> architectures;  // SCMP_ARCH_*; empty: the machine's own
  uint32_t flags = 0;                   // SECCOMP_FILTER_FLAG_*
  std::vector<SeccompRule> rules;
  std::string listener_path;
  std::string listener_metadata;
  bool notifies = false;  // some action is SCMP_ACT_NOTIFY
};

// INVALID_ARGUMENT names the JSON pointer, which starts with `pointer`.
absl::StatusOr<SeccompProfile> ParseSeccompProfile(const nlohmann::json& seccomp,
                                                   std::string_view pointer = "/linux/seccomp");

// The names that ParseSeccompProfile knows, for the features document.
std::vector<std::string> SeccompActionNames();
std::vector<std::string> SeccompOperatorNames();
std::vector<std::string> SeccompArchitectureNames();
std::vector<std::string> SeccompFlagNames();

}  // namespace ocid

#endif  // OCID_RUNTIME_SECCOMP_SECCOMP_PROFILE_H_
