#include "runtime/host/launch_failure.h"

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/host/supervisor_handle.h"
#include "runtime/plan/launch_plan.h"

namespace ocid {
absl::Status DescribeLaunchFailure(std::string_view plan_bytes, const FailureRecord& failure) {
  const absl::StatusOr<LaunchPlan> plan = LaunchPlan::Parse(plan_bytes);
  if (!plan.ok()) {
    return absl::InternalError(
        absl::StrCat("launch failed with errno ", failure.error, ", and its plan cannot be read"));
  }
  ErrorMetadata metadata = {{"step", absl::StrCat(failure.step)},
                            {"errno", absl::StrCat(failure.error)}};
  const std::string source = FailureSource(plan->view(), failure);
  if (!source.empty()) metadata["spec_pointer"] = source;
  const std::string_view reason =
      IsMissingExecutable(plan->view(), failure) ? kReasonExecutableNotFound : kReasonLaunchFailed;
  return MakeError(absl::StatusCode::kFailedPrecondition, reason,
                   DescribeFailure(plan->view(), failure), metadata);
}

}  // namespace ocid
