// Starts a container's first process, or one that joins it, through the launch helper
// (launch_protocol.h says why there is one).
//
// Blocks as Launch does (runtime/launch/launcher.h). The caller has one thread. Errors:
// FAILED_PRECONDITION, reason LAUNCH_FAILED or EXECUTABLE_NOT_FOUND, with the step in words.
#ifndef OCID_RUNTIME_CLI_LAUNCH_PROCESS_H_
#define OCID_RUNTIME_CLI_LAUNCH_PROCESS_H_

#include <sys/types.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"
#include "runtime/launch/launcher.h"
#include "runtime/plan/launch_plan.h"

namespace ocid {

// As LaunchFds; all lent. By default the process gets the caller's standard streams.
struct LaunchSettings {
  BorrowedFd standard_input = BorrowedFd(STDIN_FILENO);
  BorrowedFd standard_output = BorrowedFd(STDOUT_FILENO);
  BorrowedFd standard_error = BorrowedFd(STDERR_FILENO);
  BorrowedFd cgroup;
  std::vector<BorrowedFd> cgroup_procs = {};
  BorrowedFd join;
  BorrowedFd gate;
  unsigned preserve = 0;
  // The process becomes a child of the caller, which shall wait for it. Else it is adopted as
  // orphans are.
  bool adopt = false;
};

absl::StatusOr<Launched> LaunchProcess(const LaunchPlan& plan, const LaunchSettings& settings);

// Waits until the process that was let through its gate, or has none, runs its program.
absl::Status WaitUntilExecuted(const PlanView& plan, Launched* launched);

absl::Status LaunchError(const PlanView& plan, const FailureRecord& failure);

}  // namespace ocid

#endif  // OCID_RUNTIME_CLI_LAUNCH_PROCESS_H_
