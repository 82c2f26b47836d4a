// SupervisorProcess: the process of one supervisor, spawned by this daemon or found again.
//
// Reaps it when it ends, if it is this process's child. Thread-safe.
#ifndef OCID_RUNTIME_HOST_SUPERVISOR_PROCESS_H_
#define OCID_RUNTIME_HOST_SUPERVISOR_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"
#include "runtime/host/reactor.h"

namespace ocid {

class SupervisorProcess : public Reactor::Source {
 public:
  struct SpawnFds {
    BorrowedFd program;  // of SealProgramFile
    BorrowedFd null;     // /dev/null
    BorrowedFd control;  // DonatedFd, all of these
    BorrowedFd listener;
    BorrowedFd container_dir;
  };

  // Starts a supervisor with every signal blocked, in a session and, where `cgroup2_dir` is valid, a
  // control group of its own.
  static absl::StatusOr<std::shared_ptr<SupervisorProcess>> Spawn(
      const std::shared_ptr<Reactor>& reactor, const std::string& id, const SpawnFds& fds,
      BorrowedFd cgroup2_dir);

  // One that answered: `pidfd` came from itself.
  static absl::StatusOr<std::shared_ptr<SupervisorProcess>> Adopt(
      const std::shared_ptr<Reactor>& reactor, pid_t pid, UniqueFd pidfd);

  pid_t pid() const { return pid_; }

  absl::Status Kill();
  // Waits until the process is gone and, if it was a child, reaped. False at the deadline.
  bool WaitGone(absl::Time deadline);

  BorrowedFd fd() const override { return pidfd_; }
  void OnReady() override;
  void OnStopped() override {}

 private:
  SupervisorProcess(const std::shared_ptr<Reactor>& reactor, pid_t pid, UniqueFd pidfd);

  const std::weak_ptr<Reactor> reactor_;
  const pid_t pid_;
  const UniqueFd pidfd_;
  Mutex mutex_;
  CondVar changed_;
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_HOST_SUPERVISOR_PROCESS_H_
