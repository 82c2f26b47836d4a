// LaunchHelper: the process through which a container's first process is started, or one that joins it
// (launch_protocol.h says why there is one).
//
//   absl::StatusOr<LaunchHelper> helper = LaunchHelper::Spawn();  // starts up meanwhile
//   ... read the spec, make the cgroup, compile the plan ...
//   absl::Status status = helper->Order(plan, settings);
//   ... whatever can be done while the process sets itself up ...
//   absl::StatusOr<Launched> launched = helper->Await(plan);
//
// A helper that is dropped without an order has done nothing. Await blocks as Launch does
// (runtime/launch/launcher.h); the other calls do not. The caller has one thread. Errors:
// FAILED_PRECONDITION, reason LAUNCH_FAILED or EXECUTABLE_NOT_FOUND, with the step in words.
#ifndef OCID_RUNTIME_CLI_LAUNCH_PROCESS_H_
#define OCID_RUNTIME_CLI_LAUNCH_PROCESS_H_

#include <sys/types.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <utility>
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

class LaunchHelper {
 public:
  static absl::StatusOr<LaunchHelper> Spawn();
  LaunchHelper(LaunchHelper&& other) noexcept
      : socket_(std::move(other.socket_)),
        stack_(std::move(other.stack_)),
        pid_(std::exchange(other.pid_, -1)) {}
  LaunchHelper& operator=(LaunchHelper&&) = delete;
  ~LaunchHelper();

  // Makes namespaces (CLONE_NEW*) for the process ahead of its order, of those that the plan will make.
  // Whatever the plan has done on the host's side of the launch is done from within them.
  void MakeNamespaces(uint64_t namespaces);
  // Once.
  absl::Status Order(const LaunchPlan& plan, const LaunchSettings& settings);
  // Once, after Order.
  absl::StatusOr<Launched> Await(const LaunchPlan& plan);

 private:
  LaunchHelper(UniqueFd socket, std::unique_ptr<char[]> stack, pid_t pid)
      : socket_(std::move(socket)), stack_(std::move(stack)), pid_(pid) {}
  // Its exit status.
  int Reap();

  UniqueFd socket_;
  std::unique_ptr<char[]> stack_;  // until it is another program
  pid_t pid_;
};

// Waits until the process that was let through its gate, or has none, runs its program.
absl::Status WaitUntilExecuted(const PlanView& plan, Launched* launched);

absl::Status LaunchError(const PlanView& plan, const FailureRecord& failure);

}  // namespace ocid

#endif  // OCID_RUNTIME_CLI_LAUNCH_PROCESS_H_
