// Runs a seccomp filter in user space, so that tests can ask what a profile does to a system call
// without making it.
//
// Pure, thread-safe. Knows the instructions that the kernel admits in seccomp filters (classic BPF
// with absolute word loads, Documentation/userspace-api/seccomp_filter.rst).
#ifndef OCID_RUNTIME_SECCOMP_BPF_EVALUATOR_H_
#define OCID_RUNTIME_SECCOMP_BPF_EVALUATOR_H_

#include <linux/seccomp.h>

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace ocid {

// The filter's return value (SECCOMP_RET_* and data). `bpf` is struct sock_filter[].
// INVALID_ARGUMENT for an instruction that the kernel would not admit, or a jump out of the
// program.
absl::StatusOr<uint32_t> EvaluateSeccomp(std::string_view bpf, const seccomp_data& data);

}  // namespace ocid

#endif  // OCID_RUNTIME_SECCOMP_BPF_EVALUATOR_H_
