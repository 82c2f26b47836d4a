#include "runtime/launch/host_steps.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "runtime/base/raw_syscall.h"
#include "runtime/child/setup_protocol.h"
#include "runtime/child/string_vector.h"
#include "runtime/launch/host_files.h"

namespace ocid {
namespace {

long WriteIdMaps(const PlanView& plan, PlanRef uids, PlanRef gids, pid_t pid) {
  const long written = WriteFile(ProcPath(pid, "uid_map").text(), plan.text(uids), uids.size);
  if (written < 0) return written;
  return WriteFile(ProcPath(pid, "gid_map").text(), plan.text(gids), gids.size);
}

// newuidmap(1) and newgidmap(1) are set-user-ID programs that map what /etc/subuid and /etc/subgid
// give to the user.
Outcome MapIdsByProgram(const PlanView& plan, const PlanStep& step, pid_t pid) {
  constexpr size_t kMostArguments = 3 * 340 + 3;
  const uint64_t count = step.number[0];
  StringVectors vectors;
  const long made = MakeStringVectors(plan, step.ref[1], count, {}, 0, nullptr, &vectors);
  if (made < 0) return From(made);
  if (count == 0 || count + 2 > kMostArguments) return From(-E2BIG);
  const Decimal number(static_cast<unsigned>(pid));
  char* arguments[kMostArguments];
  arguments[0] = vectors.first[0];
  arguments[1] = const_cast<char*>(number.text());  // execve(2) does not write
  for (uint64_t i = 1; i <= count; ++i) arguments[i + 1] = vectors.first[i];

  int raw_pidfd = -1;
  clone_args args = {};
  args.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
  args.pidfd = reinterpret_cast<uint64_t>(&raw_pidfd);
  args.exit_signal = SIGCHLD;
  const long child = raw::Call(SYS_clone3, &args, sizeof(args));
  if (child < 0) return From(child);
  if (child == 0) {
    raw::Call(SYS_execve, plan.text(step.ref[0]), arguments, vectors.second);
    for (;;) raw::Call(SYS_exit_group, 127);
  }
  const raw::Fd pidfd(raw_pidfd);
  siginfo_t info = {};
  const long waited = raw::Retry(SYS_waitid, P_PIDFD, pidfd.get(), &info, WEXITED, nullptr);
  if (waited < 0) return From(waited);
  if (info.si_code == CLD_EXITED && info.si_status == 0) return Done();
  return {ECANCELED, FailureDetail::kHookExit, static_cast<uint32_t>(info.si_status)};
}

long OpenUserNamespace(pid_t pid) {
  return raw::Call(SYS_openat, AT_FDCWD, ProcPath(pid, "ns/user").text(), O_RDONLY | O_CLOEXEC);
}

// A user namespace is made by making a process in it.
raw::Fd MakeUserNamespace(const PlanView& plan, const PlanStep& step) {
  int raw_pidfd = -1;
  clone_args args = {};
  args.flags = CLONE_PIDFD | CLONE_NEWUSER;
  args.pidfd = reinterpret_cast<uint64_t>(&raw_pidfd);
  args.exit_signal = SIGCHLD;
  const long child = raw::Call(SYS_clone3, &args, sizeof(args));
  if (child < 0) return raw::Fd(child);
  if (child == 0) {
    raw::Call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    for (;;) raw::Call(SYS_ppoll, nullptr, 0, nullptr, nullptr, 8);
  }
  const raw::Fd pidfd(raw_pidfd);
  const auto pid = static_cast<pid_t>(child);
  long result = WriteIdMaps(plan, step.ref[1], step.ref[2], pid);
  if (result >= 0) result = OpenUserNamespace(pid);
  raw::Call(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  raw::Retry(SYS_waitid, P_PIDFD, pidfd.get(), nullptr, WEXITED, nullptr);
  return raw::Fd(result);
}

// Here and not in the child, because the ids of a mount may only be mapped by who is root of the file
// system's own user namespace.
Outcome OpenIdmappedTree(const PlanView& plan, const PlanStep& step, pid_t pid, BorrowedFd child) {
  const raw::Fd ids = step.number[3] != 0 ? raw::Fd(OpenUserNamespace(pid))
                                          : MakeUserNamespace(plan, step);
  if (!ids.ok()) return From(-ids.error(), FailureDetail::kUserNamespace);
  const unsigned recursive = step.number[1] != 0 ? AT_RECURSIVE : 0;
  const raw::Fd tree(raw::Call(SYS_open_tree, AT_FDCWD, plan.text(step.ref[0]),
                               OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive));
  if (!tree.ok()) return From(-tree.error(), FailureDetail::kSource);
  mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(ids.get());
  const unsigned below = step.number[2] != 0 ? AT_RECURSIVE : 0;
  const long mapped = raw::Call(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH | below,
                                &attributes, sizeof(attributes));
  if (mapped < 0) return From(mapped, FailureDetail::kIdMap);
  // If the child is gone, whoever serves it next finds out why.
  SendMessage(child.get(), {MessageKind::kTree, static_cast<uint32_t>(step.number[0]), {}},
              tree.get());
  return Done();
}

// ---- resctrl

// Whether each line of `wanted` is a line of the file, but for blanks.
bool HasLines(const char* text, const char* wanted) {
  const auto skip = [](const char*& at) {
    while (*at == ' ' || *at == '\t') ++at;
  };
  const auto is_end = [](char c) { return c == '\n' || c == '\0'; };
  while (*wanted != '\0') {
    const char* line_end = wanted;
    bool found = false;
    for (const char* line = text; *line != '\0' && !found;) {
      const char* a = line;
      const char* b = wanted;
      for (skip(a), skip(b); *a == *b && !is_end(*a); ++a, ++b, skip(a), skip(b)) {
      }
      found = is_end(*a) && is_end(*b);
      while (!is_end(*line)) ++line;
      if (*line == '\n') ++line;
    }
    if (!found) return false;
    while (!is_end(*line_end)) ++line_end;
    wanted = *line_end == '\n' ? line_end + 1 : line_end;
  }
  return true;
}

Outcome CheckSchemata(int group, const char* wanted) {
  const raw::Fd file(raw::Call(SYS_openat, group, "schemata", O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return From(-file.error(), FailureDetail::kSchemata);
  char text[4096];
  const long size = raw::Retry(SYS_read, file.get(), text, sizeof(text) - 1);
  if (size < 0) return From(size, FailureDetail::kSchemata);
  text[size] = '\0';
  return HasLines(text, wanted) ? Done() : Outcome{EEXIST, FailureDetail::kSchemata, 0};
}

// The kernel takes one line a write.
long WriteSchemata(int group, const char* text) {
  while (*text != '\0') {
    const char* end = text;
    while (*end != '\n' && *end != '\0') ++end;
    if (*end == '\n') ++end;
    const long written = WriteFileAt(group, "schemata", text, static_cast<size_t>(end - text));
    if (written < 0) return written;
    text = end;
  }
  return 0;
}

Outcome JoinResctrl(const PlanView& plan, const PlanStep& step, pid_t pid) {
  const char* path = plan.text(step.ref[0]);
  const char* schemata = plan.text(step.ref[1]);
  const uint64_t flags = step.number[0];
  long made = -EEXIST;
  if ((flags & kResctrlMustExist) == 0) made = raw::Call(SYS_mkdirat, AT_FDCWD, path, 0755);
  if (made < 0 && made != -EEXIST) return From(made, FailureDetail::kCreateTarget);
  const bool existed = made == -EEXIST;
  if (existed && (flags & (kResctrlMustExist | kResctrlMayExist)) == 0) {
    return From(-EEXIST, FailureDetail::kCreateTarget);
  }
  const raw::Fd group(raw::Call(SYS_openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!group.ok()) return From(-group.error(), FailureDetail::kTarget);
  const bool checks = existed && (flags & kResctrlMayExist) != 0;
  const Outcome set = checks ? CheckSchemata(group.get(), schemata)
                             : From(WriteSchemata(group.get(), schemata), FailureDetail::kSchemata);
  if (!set.ok()) return set;
  const Decimal number(static_cast<unsigned>(pid));
  const long joined = WriteFileAt(group.get(), "tasks", number.text(), number.size());
  if (joined < 0 || step.ref[2].size == 0) return From(joined, FailureDetail::kAttach);
  const char* monitor = plan.text(step.ref[2]);
  const long watched = raw::Call(SYS_mkdirat, AT_FDCWD, monitor, 0755);
  if (watched < 0 && watched != -EEXIST) return From(watched, FailureDetail::kCreateTarget);
  const raw::Fd directory(
      raw::Call(SYS_openat, AT_FDCWD, monitor, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.ok()) return From(-directory.error(), FailureDetail::kTarget);
  return From(WriteFileAt(directory.get(), "tasks", number.text(), number.size()),
              FailureDetail::kAttach);
}

}  // namespace

Outcome RunAfterCloneStep(const PlanView& plan, const PlanStep& step, pid_t pid, BorrowedFd child) {
  switch (static_cast<Opcode>(step.opcode)) {
    case Opcode::kWriteProcSelf:
      return From(WriteFile(ProcPath(pid, plan.text(step.ref[0])).text(), plan.text(step.ref[1]),
                            step.ref[1].size));
    case Opcode::kWriteIdMaps:
      return From(WriteIdMaps(plan, step.ref[0], step.ref[1], pid));
    case Opcode::kMapIdsByProgram:
      return MapIdsByProgram(plan, step, pid);
    case Opcode::kOpenIdmappedTree:
      return OpenIdmappedTree(plan, step, pid, child);
    case Opcode::kMoveNetDevice:
      return MoveNetDevice(plan.text(step.ref[0]), plan.text(step.ref[1]), pid);
    case Opcode::kJoinResctrl:
      return JoinResctrl(plan, step, pid);
    default:
      return From(-ENOSYS);
  }
}

}  // namespace ocid
