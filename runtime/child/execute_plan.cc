#include "runtime/child/execute_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <sys/socket.h>

#include "runtime/child/home_directory.h"
#include "runtime/child/run_hook.h"
#include "runtime/child/setup_protocol.h"
#include "runtime/child/step_machine.h"

namespace ocid {
namespace {

[[noreturn]] void Exit(int code) {
  for (;;) raw::Call(SYS_exit_group, code);
}

[[noreturn]] void Fail(int socket, uint32_t step, const Outcome& outcome) {
  const FailureRecord failure = MakeFailure(step, outcome.error, outcome.detail, outcome.argument);
  SendMessage(socket, {MessageKind::kFailed, 0, failure});
  Exit(1);
}

bool ReceiveGo(int socket) {
  SetupMessage message;
  int fd = -1;
  const long received = ReceiveMessage(socket, &message, &fd);
  raw::Close(fd);
  return received == 1 && message.kind == MessageKind::kGo;
}

// The launcher's silence means that it died, or gave up: then so do we.
void AwaitGo(int socket) {
  if (!ReceiveGo(socket)) Exit(1);
}

// As AwaitGo; takes the trees that the host opened for us on the way.
void AwaitFirstGo(StepMachine& machine) {
  for (;;) {
    SetupMessage message;
    int fd = -1;
    if (ReceiveMessage(machine.socket, &message, &fd) != 1) Exit(1);
    raw::Fd tree(fd);
    if (message.kind == MessageKind::kGo) return;
    if (message.kind != MessageKind::kTree || !tree.ok() || message.number >= kMaxSlots) Exit(1);
    int& slot = machine.slot[message.number];
    raw::Close(slot);
    slot = tree.release();
  }
}

// Whoever connects to the gate and says go takes the launcher's place: what fails from here on is
// told to them. A caller that goes away without a word leaves the gate as it was.
void AwaitGoAtGate(StepMachine& machine) {
  for (;;) {
    const long connection = raw::Retry(SYS_accept4, machine.gate, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) Exit(1);
    if (ReceiveGo(static_cast<int>(connection))) {
      raw::Call(SYS_dup3, connection, machine.socket, O_CLOEXEC);
      raw::Close(static_cast<int>(connection));
      break;
    }
    raw::Close(static_cast<int>(connection));
  }
  raw::Close(machine.gate);
  machine.gate = -1;
}

void EnterCgroups(const ChildArguments& arguments) {
  for (size_t i = 0; i < arguments.cgroup_procs_count; ++i) {
    const long written = raw::Retry(SYS_write, arguments.cgroup_procs[i], "0", 1);
    if (written < 0) {
      Fail(arguments.setup_socket, kFailedCgroup,
           From(written, FailureDetail::kNone, static_cast<uint32_t>(i)));
    }
  }
}

// How many descriptors of our own follow the preserved ones.
constexpr unsigned kPrivateFds = 4;

// Leaves exactly this open: 0, 1, 2; the preserved ones from 3 on; then the socket, the process to
// join, the hooks' output and the gate, all four close-on-exec.
void PlaceDescriptors(const ChildArguments& arguments, StepMachine& machine) {
  const unsigned first = 3 + arguments.preserve;
  constexpr int kCount = 3 + kPrivateFds;
  const int wanted[kCount] = {arguments.standard[0],  arguments.standard[1], arguments.standard[2],
                              arguments.setup_socket, arguments.join,        arguments.hook_output,
                              arguments.gate};
  const unsigned place[kCount] = {0, 1, 2, first, first + 1, first + 2, first + 3};
  const unsigned spare = first + kPrivateFds;
  long copy[kCount];
  long result = 0;
  // All of them out of the way first: any may sit where another belongs.
  for (int i = 0; i < kCount && result >= 0; ++i) {
    const int source = wanted[i];
    if (source < 0) {
      copy[i] = i < 3 ? raw::Call(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC) : -1;
      if (i < 3 && copy[i] >= 0 && copy[i] < static_cast<long>(spare)) {
        const long low = copy[i];
        copy[i] = raw::Call(SYS_fcntl, low, F_DUPFD_CLOEXEC, spare);
        raw::Close(static_cast<int>(low));
      }
    } else {
      copy[i] = raw::Call(SYS_fcntl, source, F_DUPFD_CLOEXEC, spare);
    }
    if (source >= 0 || i < 3) result = copy[i];
  }
  if (result >= 0) machine.socket = static_cast<int>(copy[3]);
  for (int i = 0; i < kCount && result >= 0; ++i) {
    if (copy[i] < 0) {
      raw::Close(static_cast<int>(place[i]));
      continue;
    }
    result = raw::Call(SYS_dup3, copy[i], place[i], i < 3 ? 0 : O_CLOEXEC);
  }
  for (unsigned fd = 3; fd < first && result >= 0; ++fd) {
    raw::Call(SYS_fcntl, fd, F_SETFD, 0);  // not open: not preserved
  }
  if (result >= 0) {
    machine.socket = static_cast<int>(first);
    machine.join = arguments.join < 0 ? -1 : static_cast<int>(first + 1);
    machine.hook_output = arguments.hook_output < 0 ? -1 : static_cast<int>(first + 2);
    machine.gate = arguments.gate < 0 ? -1 : static_cast<int>(first + 3);
    machine.first_private_fd = first;
    result = raw::Call(SYS_close_range, spare, ~0u, 0);
  }
  if (result < 0) Fail(machine.socket, kFailedDescriptors, From(result));
}

// The launcher gets a child for a child, and waits for the first one, which ends here.
Outcome CloneAgain(StepMachine& machine) {
  raw::Close(machine.join);
  machine.join = -1;
  clone_args arguments = {};
  arguments.flags = CLONE_PARENT;  // and its parent's exit signal
  const long pid = raw::Call(SYS_clone3, &arguments, sizeof(arguments));
  if (pid < 0) return From(pid);
  if (pid > 0) {
    SendMessage(machine.socket, {MessageKind::kCloned, static_cast<uint32_t>(pid), {}});
    Exit(0);
  }
  AwaitGo(machine.socket);
  return Done();
}

Outcome ExecuteStep(StepMachine& machine, const PlanStep& step) {
  if (static_cast<Opcode>(step.opcode) == Opcode::kCloneAgain) return CloneAgain(machine);
  if (static_cast<Opcode>(step.opcode) == Opcode::kRunHook) {
    // Its own pid namespace is the one that a hook in the container sees.
    const auto pid = static_cast<pid_t>(raw::Call(SYS_getpid));
    return RunHook(machine.plan, step, pid, machine.hook_output);
  }
  Outcome outcome = ExecuteMountStep(machine, step);
  if (outcome.error == ENOSYS) outcome = ExecuteDeviceStep(machine, step);
  if (outcome.error == ENOSYS) outcome = ExecuteIdentityStep(machine, step);
  return outcome;
}

void ExecutePhase(StepMachine& machine, Phase phase) {
  for (uint32_t i = machine.plan.begin(phase); i < machine.plan.end(phase); ++i) {
    const Outcome outcome = ExecuteStep(machine, machine.plan.step(i));
    if (!outcome.ok()) Fail(machine.socket, i, outcome);
  }
}

void Say(const StepMachine& machine, MessageKind kind) {
  if (SendMessage(machine.socket, {kind, 0, {}}) < 0) Exit(1);
}

// Whatever the setup had open stays out of reach of the last steps: a working directory of
// /proc/self/fd/N must find nothing (CVE-2024-21626).
void ForgetSetup(StepMachine& machine) {
  // At a gate for others the launcher is not waited for, and whoever reads its output to the end
  // must not have to wait for us: hooks in the container write to nowhere then.
  if (machine.gate >= 0) machine.hook_output = -1;
  const unsigned after = machine.first_private_fd + kPrivateFds;
  raw::Call(SYS_close_range, after, ~0u, 0);
  // Steps may have opened theirs in a place that was not taken.
  for (unsigned place = machine.first_private_fd; place < after; ++place) {
    const int fd = static_cast<int>(place);
    if (fd != machine.socket && fd != machine.hook_output && fd != machine.gate) raw::Close(fd);
  }
  machine.root.release();
  machine.proc.release();
  machine.empty_directory.release();
  machine.directory.release();
  machine.join = -1;
}

// The last step of a plan is its kExecute.
void PrepareProgram(StepMachine& machine) {
  const PlanView& plan = machine.plan;
  if (plan.end(Phase::kStart) == plan.begin(Phase::kStart)) return;
  const uint32_t last = plan.end(Phase::kStart) - 1;
  const PlanStep& step = plan.step(last);
  char* home = nullptr;
  if (step.number[2] != 0) {
    home = machine.home;
    FindHome(machine.root.get(), step.number[3], home, sizeof(machine.home));
  }
  const long made = MakeStringVectors(plan, step.ref[0], step.number[0], step.ref[1],
                                      step.number[1], home, &machine.program);
  if (made < 0) Fail(machine.socket, last, From(made));
}

}  // namespace

void ExecutePlan(const PlanView& plan, const ChildArguments& arguments) {
  // Others in the namespaces that we enter must not trace us or open our files (CVE-2016-9962);
  // execve undoes it. An ordinary user who shall write our id maps must still be able to.
  const bool mapped_by_user = plan.has(kPlanMapsAsUser);
  if (!mapped_by_user) raw::Call(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
  EnterCgroups(arguments);
  StepMachine machine;
  machine.plan = plan;
  machine.socket = arguments.setup_socket;
  for (int& slot : machine.slot) slot = -1;
  PlaceDescriptors(arguments, machine);
  raw::Call(SYS_umask, 0);

  if (arguments.await_host) AwaitFirstGo(machine);
  if (mapped_by_user) raw::Call(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
  ExecutePhase(machine, Phase::kRoot);
  ExecutePhase(machine, Phase::kSetup);
  if (plan.begin(Phase::kRuntimeHooks) != plan.end(Phase::kRuntimeHooks)) {
    Say(machine, MessageKind::kAtRuntimeHooks);
    AwaitGo(machine.socket);
  }
  ExecutePhase(machine, Phase::kEnter);
  PrepareProgram(machine);
  ForgetSetup(machine);
  if (plan.has(kPlanHasGate)) {
    Say(machine, MessageKind::kReady);
    if (machine.gate < 0) {
      AwaitGo(machine.socket);
    } else {
      AwaitGoAtGate(machine);
    }
  }
  ExecutePhase(machine, Phase::kStart);
  Fail(machine.socket, kFailedPlan, From(-ENOEXEC));
}

}  // namespace ocid
