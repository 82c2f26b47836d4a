#include "runtime/launch/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "runtime/child/execute_plan.h"
#include "runtime/child/raw_syscall.h"
#include "runtime/child/run_hook.h"
#include "runtime/child/setup_protocol.h"

namespace ocid {
namespace {

constexpr SetupMessage kGoMessage = {MessageKind::kGo, 0, {}};

FailureRecord FailAt(uint32_t place, long result, FailureDetail detail = FailureDetail::kNone,
                     uint32_t argument = 0) {
  return MakeFailure(place, static_cast<int>(-result), detail, argument);
}

// "/proc/" + pid + "/" + name.
class ProcPath {
 public:
  ProcPath(pid_t pid, const char* name) {
    char* out = text_;
    memcpy(out, "/proc/", 6);
    out += 6;
    char digits[16];
    int count = 0;
    for (auto rest = static_cast<unsigned>(pid); rest != 0 || count == 0; rest /= 10) {
      digits[count++] = static_cast<char>('0' + rest % 10);
    }
    while (count > 0) *out++ = digits[--count];
    *out++ = '/';
    strncpy(out, name, sizeof(text_) - static_cast<size_t>(out - text_) - 1);
  }
  const char* text() const { return text_; }

 private:
  char text_[64] = {};
};

long WriteFile(const char* path, const char* text, size_t size) {
  const UniqueFd file(
      static_cast<int>(raw::Call(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC)));
  if (!file.valid()) return file.get();
  const long written = raw::Retry(SYS_write, file.get(), text, size);
  if (written < 0) return written;
  return static_cast<size_t>(written) == size ? 0 : -EIO;
}

struct NamespaceFile {
  uint64_t flag;
  const char* path;
};
constexpr NamespaceFile kOwnNamespaces[] = {
    {CLONE_NEWPID, "/proc/self/ns/pid"}, {CLONE_NEWTIME, "/proc/self/ns/time"},
    {CLONE_NEWNET, "/proc/self/ns/net"}, {CLONE_NEWIPC, "/proc/self/ns/ipc"},
    {CLONE_NEWUTS, "/proc/self/ns/uts"}, {CLONE_NEWCGROUP, "/proc/self/ns/cgroup"},
};
constexpr size_t kOwnNamespaceCount = sizeof(kOwnNamespaces) / sizeof(kOwnNamespaces[0]);

// The namespaces that the kBeforeClone steps lead the caller out of, to go back to.
class NamespaceVisit {
 public:
  // Before a step that changes the namespaces in `flags`.
  long Remember(uint64_t flags) {
    for (size_t i = 0; i < kOwnNamespaceCount; ++i) {
      if ((flags & kOwnNamespaces[i].flag) == 0 || own_[i].valid()) continue;
      const long fd = raw::Call(SYS_openat, AT_FDCWD, kOwnNamespaces[i].path, O_RDONLY | O_CLOEXEC);
      if (fd < 0) return fd;
      own_[i].reset(static_cast<int>(fd));
    }
    return 0;
  }

  long GoBack() {
    long first_error = 0;
    for (size_t i = 0; i < kOwnNamespaceCount; ++i) {
      if (!own_[i].valid()) continue;
      const long result = raw::Call(SYS_setns, own_[i].get(), kOwnNamespaces[i].flag);
      if (result < 0 && first_error == 0) first_error = result;
      own_[i].reset();
    }
    return first_error;
  }

 private:
  UniqueFd own_[kOwnNamespaceCount];
};

long JoinNamespace(const char* path, uint64_t flag) {
  const UniqueFd file(
      static_cast<int>(raw::Call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC)));
  if (!file.valid()) return file.get();
  return raw::Call(SYS_setns, file.get(), flag);  // EINVAL if it is of another kind
}

long BeforeCloneStep(const PlanView& plan, const PlanStep& step, NamespaceVisit& visit) {
  const auto opcode = static_cast<Opcode>(step.opcode);
  if (opcode == Opcode::kWriteProcSelf) return WriteProcSelf(plan, step);
  const uint64_t flags = step.number[0];
  const long remembered = visit.Remember(flags);
  if (remembered < 0) return remembered;
  switch (opcode) {
    case Opcode::kJoinNamespace:
      return JoinNamespace(plan.text(step.ref[0]), flags);
    case Opcode::kUnshare:
      return raw::Call(SYS_unshare, flags);
    default:
      return -ENOSYS;
  }
}

long AfterCloneStep(const PlanView& plan, const PlanStep& step, pid_t pid) {
  const auto opcode = static_cast<Opcode>(step.opcode);
  if (opcode == Opcode::kWriteProcSelf) {
    return WriteFile(ProcPath(pid, plan.text(step.ref[0])).text(), plan.text(step.ref[1]),
                     step.ref[1].size);
  }
  if (opcode != Opcode::kWriteIdMaps) return -ENOSYS;
  const long written =
      WriteFile(ProcPath(pid, "uid_map").text(), plan.text(step.ref[0]), step.ref[0].size);
  if (written < 0) return written;
  return WriteFile(ProcPath(pid, "gid_map").text(), plan.text(step.ref[1]), step.ref[1].size);
}

// Kills the child and reaps it.
void Discard(Launched* launched) {
  raw::Call(SYS_pidfd_send_signal, launched->pidfd.get(), SIGKILL, nullptr, 0);
  raw::Retry(SYS_waitid, P_PIDFD, launched->pidfd.get(), nullptr, WEXITED, nullptr);
  *launched = Launched();
}

// Why a child that said nothing is gone. It must be: its end of the socket is closed.
FailureRecord ReapSilent(Launched* launched) {
  siginfo_t info = {};
  raw::Retry(SYS_waitid, P_PIDFD, launched->pidfd.get(), &info, WEXITED, nullptr);
  const auto status = static_cast<uint32_t>(info.si_status);
  const FailureDetail detail =
      info.si_code == CLD_EXITED ? FailureDetail::kExit : FailureDetail::kSignal;
  *launched = Launched();
  return FailAt(kFailedSetup, -ECHILD, detail, status);
}

FailureRecord RunHostHooks(const PlanView& plan, Phase phase, pid_t pid, BorrowedFd output) {
  for (uint32_t i = plan.begin(phase); i < plan.end(phase); ++i) {
    const PlanStep& step = plan.step(i);
    if (static_cast<Opcode>(step.opcode) != Opcode::kRunHook) return FailAt(i, -ENOSYS);
    const Outcome outcome = RunHook(plan, step, pid, output.get());
    if (!outcome.ok()) return MakeFailure(i, outcome.error, outcome.detail, outcome.argument);
  }
  return {};
}

// Serves the child until it stands at its gate. The child is gone if this fails.
FailureRecord ServeSetup(const PlanView& plan, const LaunchFds& fds, Launched* launched) {
  for (;;) {
    SetupMessage message;
    int fd = -1;
    const long received = ReceiveMessage(launched->status.get(), &message, &fd);
    UniqueFd passed(fd);
    // A reset is what remains of a child that was killed with our message unread.
    if (received == 0 || received == -ECONNRESET) return ReapSilent(launched);
    FailureRecord failure;
    if (received < 0) {
      failure = FailAt(kFailedSetup, received);
    } else if (message.kind == MessageKind::kReady) {
      return {};
    } else if (message.kind == MessageKind::kConsole && passed.valid()) {
      launched->console = static_cast<UniqueFd&&>(passed);
    } else if (message.kind == MessageKind::kAtRuntimeHooks) {
      failure = RunHostHooks(plan, Phase::kRuntimeHooks, launched->pid, fds.hook_output);
      if (failure.ok()) SendMessage(launched->status.get(), kGoMessage);  // a dead child: next turn
    } else if (message.kind == MessageKind::kFailed && !message.failure.ok()) {
      failure = message.failure;
    } else {
      failure = FailAt(kFailedSetup, -EPROTO);
    }
    if (!failure.ok()) {
      Discard(launched);
      return failure;
    }
  }
}

// Everything between the clone and the child's first step.
FailureRecord PrepareChild(const PlanView& plan, const OnCloned& on_cloned, bool await_host,
                           const Launched& launched) {
  if (on_cloned.function != nullptr) {
    const int error = on_cloned.function(on_cloned.context, launched.pid, launched.pidfd);
    if (error != 0) return MakeFailure(kFailedCallback, error);
  }
  for (uint32_t i = plan.begin(Phase::kAfterClone); i < plan.end(Phase::kAfterClone); ++i) {
    const long result = AfterCloneStep(plan, plan.step(i), launched.pid);
    if (result < 0) return FailAt(i, result);
  }
  if (!await_host) return {};
  // If the child is gone, ServeSetup or ReadStatus finds out why.
  SendMessage(launched.status.get(), kGoMessage);
  return {};
}

// Takes the process that goes on in place of the first one. The first one is reaped, and on failure
// nothing is left.
FailureRecord AdoptSecondClone(Launched* launched) {
  SetupMessage message;
  int fd = -1;
  const long received = ReceiveMessage(launched->status.get(), &message, &fd);
  const UniqueFd passed(fd);
  if (received == 0 || received == -ECONNRESET) return ReapSilent(launched);
  if (received < 0 || message.kind != MessageKind::kCloned) {
    Discard(launched);
    const bool told = received > 0 && message.kind == MessageKind::kFailed;
    return told && !message.failure.ok() ? message.failure : FailAt(kFailedSetup, -EPROTO);
  }
  raw::Retry(SYS_waitid, P_PIDFD, launched->pidfd.get(), nullptr, WEXITED, nullptr);
  launched->pid = static_cast<pid_t>(message.pid);
  // Our child, and not waited for yet: the number is still its own.
  const long pidfd = raw::Call(SYS_pidfd_open, launched->pid, 0);
  if (pidfd < 0) {
    raw::Call(SYS_kill, launched->pid, SIGKILL);
    raw::Retry(SYS_wait4, launched->pid, nullptr, 0, nullptr);
    *launched = Launched();
    return FailAt(kFailedClone, pidfd);
  }
  launched->pidfd.reset(static_cast<int>(pidfd));
  SendMessage(launched->status.get(), kGoMessage);  // if it is gone, ReadStatus finds out why
  return {};
}

long MakeSocketPair(unsigned preserve, UniqueFd* ours, UniqueFd* theirs) {
  int ends[2] = {-1, -1};
  const long made = raw::Call(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
  if (made < 0) return made;
  ours->reset(ends[0]);
  theirs->reset(ends[1]);
  if (preserve == 0) return 0;
  // Not where a descriptor to preserve might be expected.
  for (UniqueFd* end : {ours, theirs}) {
    const long moved = raw::Call(SYS_fcntl, end->get(), F_DUPFD_CLOEXEC, 3 + preserve);
    if (moved < 0) return moved;
    end->reset(static_cast<int>(moved));
  }
  return 0;
}

}  // namespace

FailureRecord Launch(const PlanView& plan, const LaunchFds& fds, const OnCloned& on_cloned,
                     Launched* out) {
  *out = Launched();
  if (!plan.valid()) return FailAt(kFailedPlan, -EINVAL);
  if (plan.has(kPlanJoins) != fds.join.valid() || fds.cgroup_procs_count > kMaxCgroupProcs) {
    return FailAt(kFailedDescriptors, -EINVAL);
  }
  UniqueFd ours;
  UniqueFd theirs;
  const long connected = MakeSocketPair(fds.preserve, &ours, &theirs);
  if (connected < 0) return FailAt(kFailedDescriptors, connected);

  ChildArguments arguments;
  arguments.setup_socket = theirs.get();
  arguments.await_host = on_cloned.function != nullptr ||
                         plan.begin(Phase::kAfterClone) != plan.end(Phase::kAfterClone);
  arguments.standard[0] = fds.standard_input.get();
  arguments.standard[1] = fds.standard_output.get();
  arguments.standard[2] = fds.standard_error.get();
  arguments.cgroup_procs = fds.cgroup_procs;
  arguments.cgroup_procs_count = fds.cgroup_procs_count;
  arguments.join = fds.join.get();
  arguments.preserve = fds.preserve;
  // A plan that joins has no hooks, and the container can see what its process has open.
  if (!plan.has(kPlanJoins)) arguments.hook_output = fds.hook_output.get();
  arguments.gate = fds.gate.get();

  int pidfd = -1;
  clone_args args = {};
  args.flags = plan.header().clone_flags | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  if (fds.cgroup.valid()) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(fds.cgroup.get());
  }

  FailureRecord failure;
  NamespaceVisit visit;
  for (uint32_t i = plan.begin(Phase::kBeforeClone);
       i < plan.end(Phase::kBeforeClone) && failure.ok(); ++i) {
    const long result = BeforeCloneStep(plan, plan.step(i), visit);
    if (result < 0) failure = FailAt(i, result);
  }
  long pid = -1;
  if (failure.ok()) {
    pid = raw::Call(SYS_clone3, &args, sizeof(args));
    if (pid == 0) ExecutePlan(plan, arguments);
    if (pid < 0) failure = FailAt(kFailedClone, pid);
  }
  const long returned = visit.GoBack();
  if (pid > 0) {
    out->pid = static_cast<pid_t>(pid);
    out->pidfd.reset(pidfd);
    out->status = static_cast<UniqueFd&&>(ours);
  }
  theirs.reset();
  if (returned < 0 && failure.ok()) failure = FailAt(kFailedJoin, returned);
  if (failure.ok()) failure = PrepareChild(plan, on_cloned, arguments.await_host, *out);
  if (!failure.ok()) {
    if (pid > 0) Discard(out);
    return failure;
  }
  if (plan.has(kPlanClonesAgain)) failure = AdoptSecondClone(out);
  if (!failure.ok() || !plan.has(kPlanHasGate)) return failure;
  return ServeSetup(plan, fds, out);
}

FailureRecord OpenGate(const Launched& launched) {
  const long sent = SendMessage(launched.status.get(), kGoMessage);
  return sent < 0 ? FailAt(kFailedSetup, sent) : FailureRecord();
}

FailureRecord ConnectGate(const char* path, Launched* out) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const size_t size = strlen(path);
  if (size >= sizeof(address.sun_path)) return FailAt(kFailedSetup, -ENAMETOOLONG);
  memcpy(address.sun_path, path, size);
  out->status.reset(
      static_cast<int>(raw::Call(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)));
  if (!out->status.valid()) return FailAt(kFailedSetup, out->status.get());
  const long connected = raw::Retry(SYS_connect, out->status.get(), &address, sizeof(address));
  return connected < 0 ? FailAt(kFailedSetup, connected) : OpenGate(*out);
}

LaunchStatus ReadStatus(Launched* launched, FailureRecord* failure) {
  for (;;) {
    SetupMessage message;
    int fd = -1;
    const long received = ReceiveMessage(launched->status.get(), &message, &fd, MSG_DONTWAIT);
    UniqueFd passed(fd);
    if (received == -EAGAIN) return LaunchStatus::kPending;
    if (received == 0) return LaunchStatus::kExecuted;
    if (received < 0) {
      *failure = FailAt(kFailedSetup, received);
      return LaunchStatus::kFailed;
    }
    if (message.kind == MessageKind::kConsole && passed.valid()) {
      launched->console = static_cast<UniqueFd&&>(passed);
      continue;
    }
    *failure = message.kind == MessageKind::kFailed && !message.failure.ok()
                   ? message.failure
                   : FailAt(kFailedSetup, -EPROTO);
    return LaunchStatus::kFailed;
  }
}

FailureRecord RunHooks(const PlanView& plan, Phase phase, pid_t pid, BorrowedFd hook_output) {
  if (phase != Phase::kPoststartHooks && phase != Phase::kPoststopHooks) {
    return FailAt(kFailedPlan, -EINVAL);
  }
  return RunHostHooks(plan, phase, pid, hook_output);
}

}  // namespace ocid
