#include "runtime/cgroup/scope_anchor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/cgroup/cgroup_files.h"

namespace ocid {
namespace {

// After the fork of a program with threads: system calls only.
[[noreturn]] void Anchor(int release) {
  // All but `release`: this process must not keep a socket or a lock of the daemon's open.
  if (release > 0) ::syscall(SYS_close_range, 0, release - 1, 0);
  ::syscall(SYS_close_range, release + 1, ~0U, 0);
  char byte = 0;
  while (::syscall(SYS_read, release, &byte, 1) < 0 && errno == EINTR) {
  }
  ::syscall(SYS_exit_group, 0);
  __builtin_unreachable();
}

}  // namespace

absl::StatusOr<ScopeAnchor> ScopeAnchor::Start() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return CgroupError("make", "a pipe", errno);
  const UniqueFd release(ends[0]);
  UniqueFd hold(ends[1]);
  int pidfd = -1;
  clone_args args{};
  // No exit signal: a SIGCHLD, or a wait for any child, elsewhere in the program is not for this
  // one.
  args.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
  args.pidfd = reinterpret_cast<uintptr_t>(&pidfd);
  const long pid = ::syscall(SYS_clone3, &args, sizeof(args));
  if (pid == 0) Anchor(release.get());
  if (pid < 0) return CgroupError("start", "the anchor of a scope", errno);
  return ScopeAnchor(static_cast<pid_t>(pid), UniqueFd(pidfd), std::move(hold));
}

bool ScopeAnchor::Alive() const {
  // A pidfd is readable when its process has ended.
  pollfd ended = {.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
  return pidfd_.valid() && ::poll(&ended, 1, 0) == 0;
}

void ScopeAnchor::Release() {
  if (!pidfd_.valid()) return;
  hold_.reset();
  // Killed too: in a frozen cgroup it could not read the end of the pipe.
  const long sent = ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  static_cast<void>(sent);  // ESRCH: it has ended already
  siginfo_t unused = {};
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &unused, WEXITED | __WALL) != 0 &&
         errno == EINTR) {
  }
  pidfd_.reset();
}

}  // namespace ocid
