#include "runtime/child/run_hook.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/memfd.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "runtime/child/string_vector.h"

namespace ocid {
namespace {

constexpr uint64_t kNanosecondsPerMillisecond = 1000000;

// What the specification says the state is when each kind of hook runs. A prestart hook is told
// "created": the conformance suite (validation/hooks_stdin) and the runtimes before us agree on it.
const char* StateDuring(HookKind kind) {
  switch (kind) {
    case HookKind::kPrestart:
    case HookKind::kStartContainer:
      return "created";
    case HookKind::kCreateRuntime:
    case HookKind::kCreateContainer:
      return "creating";
    case HookKind::kPoststart:
      return "running";
    case HookKind::kPoststop:
      return "stopped";
  }
  return "unknown";
}

iovec Piece(const char* text, size_t size) { return {const_cast<char*>(text), size}; }

// A memfd and no pipe: a hook that does not read its input must not block us.
raw::Fd WriteState(const PlanView& plan, HookKind kind, pid_t pid) {
  const PlanHeader& header = plan.header();
  raw::Fd file(raw::Call(SYS_memfd_create, "oci-state", MFD_CLOEXEC));
  if (!file.ok()) return file;
  char digits[16];
  char* number = digits + sizeof(digits);
  for (unsigned rest = static_cast<unsigned>(pid); number == digits + sizeof(digits) || rest != 0;
       rest /= 10) {
    *--number = static_cast<char>('0' + rest % 10);
  }
  const char* state = StateDuring(kind);
  const iovec pieces[] = {
      Piece(plan.text(header.state_prefix), header.state_prefix.size),
      Piece(state, strlen(state)),
      Piece(plan.text(header.state_middle), header.state_middle.size),
      Piece(number, static_cast<size_t>(digits + sizeof(digits) - number)),
      Piece(plan.text(header.state_suffix), header.state_suffix.size),
  };
  const long written = raw::Call(SYS_writev, file.get(), pieces, 5);
  if (written < 0) return raw::Fd(written);
  raw::Call(SYS_lseek, file.get(), 0, 0);
  return file;
}

// The hook's process up to its execve. Reports an errno on `failure` if it does not get there.
[[noreturn]] void ExecuteHook(const PlanView& plan, const PlanStep& step, int state, int output,
                              int failure) {
  // Who runs it may be killed because it takes too long.
  raw::Call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  long result = raw::Call(SYS_setsid);
  const uint64_t no_signals = 0;
  raw::Call(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, nullptr, sizeof(no_signals));
  raw::Call(SYS_umask, 022);
  // Out of the way of 0, 1 and 2, before those are replaced.
  const long input = raw::Call(SYS_fcntl, state, F_DUPFD_CLOEXEC, 3);
  const long sink = output >= 0
                        ? raw::Call(SYS_fcntl, output, F_DUPFD_CLOEXEC, 3)
                        : raw::Call(SYS_openat, AT_FDCWD, "/dev/null", O_WRONLY | O_CLOEXEC);
  const long report = raw::Call(SYS_fcntl, failure, F_DUPFD_CLOEXEC, 3);
  raw::Call(SYS_dup3, input, 0, 0);
  if (sink >= 0) {
    raw::Call(SYS_dup3, sink, 1, 0);
    raw::Call(SYS_dup3, sink, 2, 0);
  }
  raw::Call(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC);
  // The container's root has no bundle.
  const bool in_container = step.number[3] == static_cast<uint64_t>(HookKind::kStartContainer);
  result = raw::Call(SYS_chdir, in_container ? "/" : plan.text(plan.header().bundle));
  StringVectors vectors;
  if (result >= 0) {
    result = MakeStringVectors(plan, step.ref[1], step.number[1], step.ref[2], step.number[2],
                               nullptr, &vectors);
  }
  if (result >= 0) {
    result = raw::Call(SYS_execve, plan.text(step.ref[0]), vectors.first, vectors.second);
  }
  const int error = static_cast<int>(-result);
  raw::Call(SYS_write, report, &error, sizeof(error));
  for (;;) raw::Call(SYS_exit_group, 127);
}

uint64_t Now() {
  timespec now = {};
  raw::Call(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 +
         static_cast<uint64_t>(now.tv_nsec) / kNanosecondsPerMillisecond;
}

// True if the process ended in time.
bool WaitUntilDone(int pidfd, uint64_t timeout_ms) {
  const uint64_t deadline = Now() + timeout_ms;
  for (;;) {
    const uint64_t now = Now();
    const uint64_t left = deadline > now ? deadline - now : 0;
    const timespec wait = {static_cast<time_t>(left / 1000),
                           static_cast<long>(left % 1000 * kNanosecondsPerMillisecond)};
    pollfd item = {pidfd, POLLIN, 0};
    const long ready =
        raw::Call(SYS_ppoll, &item, 1, timeout_ms == 0 ? nullptr : &wait, nullptr, 8);
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (ready != -EINTR) return true;
  }
}

}  // namespace

Outcome RunHook(const PlanView& plan, const PlanStep& step, pid_t pid, int output) {
  const raw::Fd state = WriteState(plan, static_cast<HookKind>(step.number[3]), pid);
  if (!state.ok()) return From(-state.error());
  int ends[2] = {-1, -1};
  const long piped = raw::Call(SYS_pipe2, ends, O_CLOEXEC);
  if (piped < 0) return From(piped);
  const raw::Fd failure_reader(ends[0]);
  raw::Fd failure_writer(ends[1]);

  int raw_pidfd = -1;
  clone_args args = {};
  args.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
  args.pidfd = reinterpret_cast<uint64_t>(&raw_pidfd);
  args.exit_signal = SIGCHLD;
  const long child = raw::Call(SYS_clone3, &args, sizeof(args));
  if (child < 0) return From(child);
  if (child == 0) ExecuteHook(plan, step, state.get(), output, failure_writer.get());
  const raw::Fd pidfd(raw_pidfd);
  failure_writer.reset();

  const bool in_time = WaitUntilDone(pidfd.get(), step.number[0]);
  // Its group too: what a hook leaves in the background outlives it only if it made a session.
  if (!in_time) {
    raw::Call(SYS_kill, -child, SIGKILL);
    raw::Call(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  }
  siginfo_t info = {};
  const long waited = raw::Retry(SYS_waitid, P_PIDFD, pidfd.get(), &info, WEXITED, nullptr);
  if (!in_time) return {ETIMEDOUT, FailureDetail::kHookTimeout, 0};
  if (waited < 0) return From(waited);
  int error = 0;
  if (raw::Call(SYS_read, failure_reader.get(), &error, sizeof(error)) == sizeof(error)) {
    return {error, FailureDetail::kNone, 0};
  }
  const auto status = static_cast<uint32_t>(info.si_status);
  if (info.si_code != CLD_EXITED) return {ECANCELED, FailureDetail::kHookSignal, status};
  if (status != 0) return {ECANCELED, FailureDetail::kHookExit, status};
  return Done();
}

}  // namespace ocid
