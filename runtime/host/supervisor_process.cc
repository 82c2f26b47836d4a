#include "runtime/host/supervisor_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/host/spawn_process.h"
#include "runtime/supervisor/control_protocol.h"

namespace ocid {
namespace {

// linux/memfd.h since 6.3; before it, every memfd may be executed.
constexpr unsigned kMemfdExec = 0x0010;

constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

absl::StatusOr<UniqueFd> MakeMemfd(const char* name, unsigned flags) {
  UniqueFd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags));
  if (!fd.valid() && errno == EINVAL && flags != 0) {
    fd.reset(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  }
  if (!fd.valid()) return absl::ErrnoToStatus(errno, "memfd_create");
  return fd;
}

absl::Status Seal(BorrowedFd fd) {
  if (fcntl(fd.get(), F_ADD_SEALS, kSeals) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "seal a memfd");
}

// Above the numbers that are given away, so that no dup2 hits a descriptor that is still needed.
absl::StatusOr<BorrowedFd> MoveOutOfTheWay(BorrowedFd fd, UniqueFd* holder) {
  if (fd.get() > kExecutableFd) return fd;
  holder->reset(fcntl(fd.get(), F_DUPFD_CLOEXEC, kExecutableFd + 1));
  if (!holder->valid()) return absl::ErrnoToStatus(errno, "duplicate a descriptor");
  return BorrowedFd(*holder);
}

}  // namespace

absl::StatusOr<UniqueFd> SealProgram(const std::string& path) {
  const UniqueFd source(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!source.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
  struct stat status = {};
  if (fstat(source.get(), &status) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("stat ", path));
  }
  absl::StatusOr<UniqueFd> copy = MakeMemfd("ocid-supervisor", kMemfdExec);
  if (!copy.ok()) return copy.status();
  off_t done = 0;
  while (done < status.st_size) {
    const ssize_t size =
        sendfile(copy->get(), source.get(), nullptr, static_cast<size_t>(status.st_size - done));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) {
      return absl::ErrnoToStatus(size < 0 ? errno : EIO, absl::StrCat("copy ", path));
    }
    done += size;
  }
  const absl::Status sealed = Seal(*copy);
  if (!sealed.ok()) return sealed;
  // A descriptor that is open for writing would make execve fail with ETXTBSY.
  UniqueFd readable(
      open(absl::StrCat("/proc/self/fd/", copy->get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!readable.valid()) return absl::ErrnoToStatus(errno, "reopen a memfd");
  return readable;
}

absl::StatusOr<UniqueFd> SealBytes(const char* name, std::string_view bytes) {
  absl::StatusOr<UniqueFd> fd = MakeMemfd(name, 0);
  if (!fd.ok()) return fd.status();
  while (!bytes.empty()) {
    const ssize_t size = write(fd->get(), bytes.data(), bytes.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return absl::ErrnoToStatus(errno, absl::StrCat("write memfd ", name));
    bytes.remove_prefix(static_cast<size_t>(size));
  }
  const absl::Status sealed = Seal(*fd);
  if (!sealed.ok()) return sealed;
  return fd;
}

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
