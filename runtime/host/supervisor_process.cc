#include "runtime/host/supervisor_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/host/spawn_process.h"
#include "runtime/supervisor/control_protocol.h"

namespace ocid {
namespace {

// Above the numbers that are given away, so that no dup2 hits a descriptor that is still needed.
absl::StatusOr<BorrowedFd> MoveOutOfTheWay(BorrowedFd fd, UniqueFd* holder) {
  if (fd.get() > kExecutableFd) return fd;
  holder->reset(fcntl(fd.get(), F_DUPFD_CLOEXEC, kExecutableFd + 1));
  if (!holder->valid()) return absl::ErrnoToStatus(errno, "duplicate a descriptor");
  return BorrowedFd(*holder);
}

}  // namespace

SupervisorProcess::SupervisorProcess(const std::shared_ptr<Reactor>& reactor, pid_t pid,
                                     UniqueFd pidfd)
    : reactor_(reactor), pid_(pid), pidfd_(std::move(pidfd)) {}

absl::StatusOr<std::shared_ptr<SupervisorProcess>> SupervisorProcess::Spawn(
    const std::shared_ptr<Reactor>& reactor, const std::string& id, const SpawnFds& fds,
    BorrowedFd cgroup2_dir) {
  const std::pair<BorrowedFd, int> donated[] = {
      {fds.null, STDIN_FILENO},     {fds.null, STDOUT_FILENO},
      {fds.null, STDERR_FILENO},    {fds.control, kControlFd},
      {fds.listener, kListenFd},    {fds.container_dir, kContainerDirFd},
      {fds.program, kExecutableFd}};
  SpawnRequest request;
  request.program = absl::StrCat("/proc/self/fd/", static_cast<int>(kExecutableFd));
  request.args = {"ocid-supervisor", id};
  request.cgroup2_dir = cgroup2_dir;
  std::vector<UniqueFd> holders(std::size(donated));
  for (size_t i = 0; i < std::size(donated); ++i) {
    const absl::StatusOr<BorrowedFd> source = MoveOutOfTheWay(donated[i].first, &holders[i]);
    if (!source.ok()) return source.status();
    request.fds.emplace_back(*source, donated[i].second);
  }
  absl::StatusOr<SpawnedProcess> spawned = SpawnProcess(request);
  if (!spawned.ok()) return spawned.status();
  return Adopt(reactor, spawned->pid, std::move(spawned->pidfd));
}

absl::StatusOr<std::shared_ptr<SupervisorProcess>> SupervisorProcess::Adopt(
    const std::shared_ptr<Reactor>& reactor, pid_t pid, UniqueFd pidfd) {
  std::shared_ptr<SupervisorProcess> process(new SupervisorProcess(reactor, pid, std::move(pidfd)));
  const absl::Status added = reactor->Add(process);
  if (!added.ok()) return added;
  return process;
}

absl::Status SupervisorProcess::Kill() {
  if (syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0) == 0) {
    return absl::OkStatus();
  }
  if (errno == ESRCH) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "kill a supervisor");
}

void SupervisorProcess::OnReady() {
  siginfo_t info = {};
  waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG);
  if (const std::shared_ptr<Reactor> reactor = reactor_.lock()) reactor->Remove(this);
  MutexLock lock(mutex_);
  gone_ = true;
  changed_.SignalAll();
}

bool SupervisorProcess::WaitGone(absl::Time deadline) {
  MutexLock lock(mutex_);
  while (!gone_) {
    if (!changed_.WaitUntil(mutex_, deadline) && !gone_) return false;
  }
  return true;
}

}  // namespace ocid
