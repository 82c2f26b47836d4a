// Names in a `process` object, and the kernel's numbers for them.
//
// Pure. Sources: capabilities(7), getrlimit(2), sched_setattr(2), ioprio_set(2), runtime-spec
// config.md.
#ifndef OCID_RUNTIME_PLAN_PROCESS_NAMES_H_
#define OCID_RUNTIME_PLAN_PROCESS_NAMES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ocid {

std::optional<int> CapabilityNumber(std::string_view name);      // "CAP_KILL"
std::optional<int> RlimitNumber(std::string_view name);          // "RLIMIT_NOFILE"
std::optional<uint32_t> SchedulerPolicy(std::string_view name);  // "SCHED_BATCH"
std::optional<uint64_t> SchedulerFlag(std::string_view name);    // "SCHED_FLAG_RESET_ON_FORK"
std::optional<int> IoPriorityClass(std::string_view name);       // "IOPRIO_CLASS_BE"

// "CAP_KILL,CAP_CHOWN", for people.
std::string CapabilityNames(uint64_t mask);
std::string_view RlimitName(uint64_t number);

// "0-3,7" as bits of a mask. Nothing if the text is malformed, or holds a number over `maximum`.
std::optional<std::vector<uint64_t>> ParseNumberList(std::string_view text, unsigned maximum);

}  // namespace ocid

#endif  // OCID_RUNTIME_PLAN_PROCESS_NAMES_H_
