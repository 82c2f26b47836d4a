// Puts a launch that failed in words.
//
// Pure. Thread-safe.
#ifndef OCID_RUNTIME_HOST_LAUNCH_FAILURE_H_
#define OCID_RUNTIME_HOST_LAUNCH_FAILURE_H_

#include <string_view>

#include "absl/status/status.h"
#include "runtime/plan/plan_format.h"

namespace ocid {

// FAILED_PRECONDITION with the reason EXECUTABLE_NOT_FOUND when the program is not in the
// container, else with LAUNCH_FAILED and the step in words. Metadata: "step", "errno", and
// "spec_pointer" where the step has one. INTERNAL if `plan_bytes` are no plan.
absl::Status DescribeLaunchFailure(std::string_view plan_bytes, const FailureRecord& failure);

}  // namespace ocid

#endif  // OCID_RUNTIME_HOST_LAUNCH_FAILURE_H_
