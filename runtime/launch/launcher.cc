#include "runtime/launch/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "runtime/base/raw_syscall.h"
#include "runtime/child/execute_plan.h"
#include "runtime/child/run_hook.h"
#include "runtime/child/setup_protocol.h"
#include "runtime/launch/host_steps.h"
#include "runtime/launch/seccomp_listener.h"

namespace ocid {
namespace {

constexpr SetupMessage kGoMessage = {MessageKind::kGo, 0, {}};
constexpr int kUnmountDetach = 2;     // MNT_DETACH
constexpr int kUnmountNoFollow = 8;   // UMOUNT_NOFOLLOW

FailureRecord FailAt(uint32_t place, long result, FailureDetail detail = FailureDetail::kNone,
                     uint32_t argument = 0) {
  return MakeFailure(place, static_cast<int>(-result), detail, argument);
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

// After a container's end the hooks that remain run whatever became of the others.
FailureRecord RunHostHooks(const PlanView& plan, Phase phase, pid_t pid, BorrowedFd output) {
  FailureRecord first;
  for (uint32_t i = plan.begin(phase); i < plan.end(phase); ++i) {
    const PlanStep& step = plan.step(i);
    if (static_cast<Opcode>(step.opcode) != Opcode::kRunHook) return FailAt(i, -ENOSYS);
    const Outcome outcome = RunHook(plan, step, pid, output.get());
    if (outcome.ok()) continue;
    const FailureRecord failure = MakeFailure(i, outcome.error, outcome.detail, outcome.argument);
    if (phase != Phase::kPoststopHooks) return failure;
    if (first.ok()) first = failure;
  }
  return first;
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
    const Outcome outcome = RunAfterCloneStep(plan, plan.step(i), launched.pid, launched.status);
    if (!outcome.ok()) return MakeFailure(i, outcome.error, outcome.detail, outcome.argument);
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
  launched->pid = static_cast<pid_t>(message.number);
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

// The clone, and the steps before it from the one on that enters a user namespace: nobody comes back
// from there, so that a process in between goes and makes the child for us. It shares our
// descriptors, for the child's pidfd, and the child is ours (CLONE_PARENT).
struct CloneResult {
  long pid = -1;
  int pidfd = -1;
  uint32_t failed_step = kFailedClone;
};

long CloneFromWithin(const PlanView& plan, uint32_t first_step, const clone_args& wanted,
                     const ChildArguments& arguments, CloneResult* result) {
  const long memory = raw::Call(SYS_mmap, nullptr, sizeof(CloneResult), PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory < 0 && memory > -4096) return memory;
  auto* const shared = reinterpret_cast<CloneResult*>(memory);
  *shared = CloneResult();
  const long between = raw::Call(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
  if (between == 0) {
    long done = 0;
    NamespaceVisit one_way;
    for (uint32_t i = first_step; i < plan.end(Phase::kBeforeClone) && done >= 0; ++i) {
      shared->failed_step = i;
      done = BeforeCloneStep(plan, plan.step(i), one_way);
    }
    if (done >= 0) {
      shared->failed_step = kFailedClone;
      clone_args args = wanted;
      args.flags |= CLONE_PARENT;
      args.exit_signal = 0;
      args.pidfd = reinterpret_cast<uint64_t>(&shared->pidfd);
      done = raw::Call(SYS_clone3, &args, sizeof(args));
      if (done == 0) ExecutePlan(plan, arguments);
    }
    shared->pid = done;
    for (;;) raw::Call(SYS_exit_group, 0);
  }
  if (between > 0) raw::Retry(SYS_wait4, between, nullptr, 0, nullptr);
  *result = *shared;
  raw::Call(SYS_munmap, memory, sizeof(CloneResult));
  return between < 0 ? between : 0;
}

bool EntersUserNamespace(const PlanStep& step) {
  return static_cast<Opcode>(step.opcode) == Opcode::kJoinNamespace &&
         step.number[0] == CLONE_NEWUSER;
}

// Namespaces that we are in already cannot be entered, nor need be.
bool IsOwnUserNamespace(const char* path) {
  struct stat there = {};
  struct stat own = {};
  return raw::Call(SYS_newfstatat, AT_FDCWD, path, &there, 0) >= 0 &&
         raw::Call(SYS_newfstatat, AT_FDCWD, "/proc/self/ns/user", &own, 0) >= 0 &&
         there.st_dev == own.st_dev && there.st_ino == own.st_ino;
}

// The root file system of a plan that shares the mount namespace is bound onto itself there, and
// nobody but us undoes that. The mount's id tells whether it got so far.
class SharedRoot {
 public:
  explicit SharedRoot(const PlanView& plan) {
    if (!plan.has(kPlanSharesMounts)) return;
    for (uint32_t i = plan.begin(Phase::kRoot); i < plan.end(Phase::kRoot); ++i) {
      const PlanStep& step = plan.step(i);
      if (static_cast<Opcode>(step.opcode) == Opcode::kAttachRootfs) path_ = plan.text(step.ref[0]);
    }
    before_ = MountId();
  }

  void Detach() const {
    if (path_ == nullptr || MountId() == before_) return;
    raw::Call(SYS_umount2, path_, kUnmountDetach | kUnmountNoFollow);
  }

 private:
  uint64_t MountId() const {
    struct statx info = {};
    if (path_ == nullptr ||
        raw::Call(SYS_statx, AT_FDCWD, path_, AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &info) < 0) {
      return 0;
    }
    return info.stx_mnt_id;
  }

  const char* path_ = nullptr;
  uint64_t before_ = 0;
};

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
  args.flags = (plan.header().clone_flags & ~fds.made_namespaces) | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  if (fds.cgroup.valid()) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(fds.cgroup.get());
  }

  const SharedRoot shared_root(plan);
  FailureRecord failure;
  NamespaceVisit visit;
  long pid = -1;
  uint32_t next = plan.begin(Phase::kBeforeClone);
  const uint32_t end = plan.end(Phase::kBeforeClone);
  for (; next < end && failure.ok(); ++next) {
    const PlanStep& step = plan.step(next);
    if (EntersUserNamespace(step)) {
      if (!IsOwnUserNamespace(plan.text(step.ref[0]))) break;
      continue;
    }
    const long result = BeforeCloneStep(plan, step, visit);
    if (result < 0) failure = FailAt(next, result);
  }
  if (failure.ok() && next < end) {
    CloneResult result;
    const long made = CloneFromWithin(plan, next, args, arguments, &result);
    pid = made < 0 ? made : result.pid;
    pidfd = result.pidfd;
    if (pid < 0) failure = FailAt(made < 0 ? kFailedClone : result.failed_step, pid);
  } else if (failure.ok()) {
    pid = raw::Call(SYS_clone3, &args, sizeof(args));
    if (pid == 0) ExecutePlan(plan, arguments);
    if (pid < 0) failure = FailAt(kFailedClone, pid);
  }
  const long returned = visit.GoBack();
  if (pid > 0) {
    out->pid = static_cast<pid_t>(pid);
    out->container = out->pid;
    out->pidfd.reset(pidfd);
    out->status = static_cast<UniqueFd&&>(ours);
  }
  theirs.reset();
  if (returned < 0 && failure.ok()) failure = FailAt(kFailedJoin, returned);
  if (failure.ok()) failure = PrepareChild(plan, on_cloned, arguments.await_host, *out);
  if (!failure.ok() && pid > 0) Discard(out);
  if (failure.ok() && plan.has(kPlanClonesAgain)) failure = AdoptSecondClone(out);
  if (failure.ok() && plan.has(kPlanHasGate)) failure = ServeSetup(plan, fds, out);
  if (!failure.ok()) shared_root.Detach();
  return failure;
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

LaunchStatus ReadStatus(const PlanView& plan, Launched* launched, FailureRecord* failure) {
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
    if (message.kind == MessageKind::kListener && passed.valid()) {
      *failure = DeliverListener(plan, passed, launched->pid, launched->container);
      if (failure->ok()) {
        SendMessage(launched->status.get(), kGoMessage);
        continue;
      }
      // It waits for nothing else, and the filter may not even let it exit.
      raw::Call(SYS_pidfd_send_signal, launched->pidfd.get(), SIGKILL, nullptr, 0);
      return LaunchStatus::kFailed;
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
