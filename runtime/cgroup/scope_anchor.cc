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

#include <string>

#include "absl/strings/str_cat.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/base/sealed_memfd.h"
#include "runtime/cgroup/cgroup_files.h"

// anchor_program.cc, put into this program by the linker (BUILD.bazel).
extern "C" const char ocid_anchor_program_begin[];
extern "C" const char ocid_anchor_program_end[];

namespace ocid {
namespace {

// What the child needs, in the parent's memory.
struct ChildWork {
  int program;
  int release;
  int error;  // of the child
};

// For a few system calls.
constexpr size_t kStackBytes = 8192;

// In the parent's memory, on a stack of its own, and never to return: it must end without being seen.
__attribute__((no_sanitize("address", "thread", "undefined"))) void RunChild(void* argument) {
  auto* const work = static_cast<ChildWork*>(argument);
  static const char* const kArguments[] = {"ocid-anchor", nullptr};
  long result = raw::Call(SYS_dup3, work->release, STDIN_FILENO, 0);
  // It must not keep a socket or a lock of this program's open.
  if (result >= 0) result = raw::Call(SYS_close_range, 1, ~0U, CLOSE_RANGE_CLOEXEC);
  if (result >= 0) {
    result = raw::Call(SYS_execveat, work->program, "", kArguments, kArguments + 1, AT_EMPTY_PATH);
  }
  work->error = static_cast<int>(-result);
  while (true) raw::Call(SYS_exit_group, 127);
}

}  // namespace

absl::StatusOr<ScopeAnchor> ScopeAnchor::Start() {
  static const absl::StatusOr<UniqueFd> program = SealProgram(
      "ocid-anchor", {ocid_anchor_program_begin,
                      static_cast<size_t>(ocid_anchor_program_end - ocid_anchor_program_begin)});
  if (!program.ok()) return program.status();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return CgroupError("make", "a pipe", errno);
  UniqueFd release(ends[0]);
  UniqueFd hold(ends[1]);
  if (release.get() == STDIN_FILENO) {  // dup3 onto itself is an error
    release.reset(::fcntl(ends[0], F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  }
  ChildWork work = {program->get(), release.get(), 0};
  int pidfd = -1;
  clone_args args{};
  // Until it executes its program the child has this one's memory, which is not copied: of a large
  // program that takes as long as systemd does.
  args.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
  args.pidfd = reinterpret_cast<uintptr_t>(&pidfd);
  args.exit_signal = SIGCHLD;  // execve would make it that
  alignas(16) char stack[kStackBytes];
  args.stack = reinterpret_cast<uintptr_t>(stack);
  args.stack_size = sizeof(stack);
  const long pid = raw::InvokeClone(&args, sizeof(args), &RunChild, &work);
  if (pid < 0) return CgroupError("start", "the anchor of a scope", static_cast<int>(-pid));
  ScopeAnchor anchor(static_cast<pid_t>(pid), UniqueFd(pidfd), std::move(hold));
  if (work.error != 0) return CgroupError("execute", "the anchor of a scope", work.error);
  return anchor;
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
