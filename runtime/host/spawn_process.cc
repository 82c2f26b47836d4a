#include "runtime/host/spawn_process.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>

#include "absl/strings/str_cat.h"
#include "runtime/base/raw_syscall.h"

namespace ocid {
namespace {

// What the child needs, prepared before it exists.
struct ChildWork {
  const char* program;
  char* const* argv;
  char* const* envp;
  const std::pair<int, int>* fds;
  size_t fd_count;
  int error;  // of the child
};

// For a few system calls.
constexpr size_t kStackBytes = 8192;

// In the parent's memory, on a stack of its own, and never to return: it must end without being seen.
__attribute__((no_sanitize("address", "thread", "undefined"))) void RunChild(void* argument) {
  auto* const work = static_cast<ChildWork*>(argument);
  // But 32 and 33, libc's own: sigfillset(3).
  const uint64_t all = ~(uint64_t{3} << 31);
  long result = raw::Call(SYS_rt_sigprocmask, SIG_SETMASK, &all, nullptr, sizeof(all));
  if (result >= 0) result = raw::Call(SYS_setsid);
  if (result >= 0) result = raw::Call(SYS_chdir, "/");
  for (size_t i = 0; i < work->fd_count && result >= 0; ++i) {
    result = raw::Call(SYS_dup3, work->fds[i].first, work->fds[i].second, 0);
  }
  if (result >= 0) result = raw::Call(SYS_execve, work->program, work->argv, work->envp);
  work->error = static_cast<int>(-result);
  while (true) raw::Call(SYS_exit_group, 127);
}

}  // namespace

absl::StatusOr<SpawnedProcess> SpawnProcess(const SpawnRequest& request) {
  std::vector<char*> argv;
  for (const std::string& arg : request.args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  char* const envp[] = {nullptr};
  std::vector<std::pair<int, int>> fds;
  for (const auto& [fd, target] : request.fds) fds.emplace_back(fd.get(), target);
  ChildWork work = {request.program.c_str(), argv.data(), envp, fds.data(), fds.size(), 0};

  int pidfd = -1;
  clone_args args = {};
  // Handlers of signals would run with this process's memory.
  args.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
  args.pidfd = reinterpret_cast<uintptr_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  if (request.cgroup2_dir.valid()) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(request.cgroup2_dir.get());
  }
  alignas(16) char stack[kStackBytes];
  args.stack = reinterpret_cast<uintptr_t>(stack);
  args.stack_size = sizeof(stack);
  const long pid = raw::InvokeClone(&args, sizeof(args), &RunChild, &work);
  if (pid < 0) {
    const int error = static_cast<int>(-pid);
    if (error == ENODEV) return absl::NotFoundError("spawn: the control group is gone");
    return absl::ErrnoToStatus(error, absl::StrCat("spawn ", request.program));
  }
  SpawnedProcess spawned{static_cast<pid_t>(pid), UniqueFd(pidfd)};
  if (work.error == 0) return spawned;
  siginfo_t unused = {};
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd), &unused, WEXITED) != 0 && errno == EINTR) {
  }
  return absl::ErrnoToStatus(work.error, absl::StrCat("execute ", request.program));
}

}  // namespace ocid
