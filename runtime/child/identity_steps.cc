// Steps that make the process what the program shall run as: user, groups, capabilities, limits,
// scheduling, seccomp; and the program itself.
//
// Sources: capabilities(7), credentials(7), seccomp(2), execve(2), exec(3) for the search of PATH.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/prctl.h>
#include <linux/sched/types.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "runtime/base/raw_syscall.h"
#include "runtime/child/seccomp_steps.h"
#include "runtime/child/step_machine.h"

namespace ocid {
namespace {

constexpr int kHighestCapability = 63;
constexpr int kSignals = 64;

Outcome NewSession(bool keep_keyring) {
  // Without a session keyring of its own the program would find the keys of whoever started us.
  if (!keep_keyring) {
    const long ring = raw::Call(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr);
    if (ring < 0 && ring != -ENOSYS) return From(ring);
  }
  return From(raw::Call(SYS_setsid));
}

Outcome BecomeNamespaceRoot() {
  long result = raw::Call(SYS_setresgid, 0, 0, 0);
  if (result < 0) return From(result, FailureDetail::kGid);
  result = raw::Call(SYS_setresuid, 0, 0, 0);
  return From(result, FailureDetail::kUid);
}

Outcome BoundCapabilities(uint64_t keep) {
  for (int capability = 0; capability <= kHighestCapability; ++capability) {
    if ((keep >> capability & 1) != 0) continue;
    const long held = raw::Call(SYS_prctl, PR_CAPBSET_READ, capability, 0, 0, 0);
    if (held == -EINVAL) break;  // past the last one that this kernel knows
    if (held <= 0) continue;
    const long dropped = raw::Call(SYS_prctl, PR_CAPBSET_DROP, capability, 0, 0, 0);
    if (dropped < 0) return From(dropped);
  }
  return Done();
}

struct CapabilitySets {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
};

// Pipes and sockets that came as 0, 1 and 2 belong to whoever made them; the user must be able to
// open /dev/stdout again. Regular files and devices are left alone: they may not be the
// container's.
void OwnStandardStreams(uint64_t uid) {
  for (int fd = 0; fd < 3; ++fd) {
    struct stat info = {};
    if (raw::Call(SYS_fstat, fd, &info) < 0 || info.st_uid == uid) continue;
    if (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode)) raw::Call(SYS_fchown, fd, uid, -1);
  }
}

// Keeps the permitted capabilities over the change, and makes them effective again: the steps that
// follow still need some, and kSetCapabilities takes away what the program shall not have.
Outcome SetUser(const PlanView& plan, const PlanStep& step) {
  const uint64_t uid = step.number[0];
  OwnStandardStreams(uid);
  long result = raw::Call(SYS_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
  if (result < 0) return From(result);
  if (step.number[2] != kKeepGroups) {
    if (step.number[2] * sizeof(uint32_t) != step.ref[0].size) return From(-EINVAL);
    // The list lies in the plan at any offset, and the kernel copies it from any address.
    result = raw::Call(SYS_setgroups, step.number[2], plan.text(step.ref[0]));
    if (result < 0) return From(result, FailureDetail::kGroups);
  }
  result = raw::Call(SYS_setresgid, step.number[1], step.number[1], step.number[1]);
  if (result < 0) return From(result, FailureDetail::kGid);
  result = raw::Call(SYS_setresuid, uid, uid, uid);
  if (result < 0) return From(result, FailureDetail::kUid);
  if (uid == 0) return Done();
  CapabilitySets sets;
  result = raw::Call(SYS_capget, &sets.header, sets.data);
  if (result < 0) return From(result);
  for (__user_cap_data_struct& half : sets.data) half.effective = half.permitted;
  return From(raw::Call(SYS_capset, &sets.header, sets.data));
}

Outcome SetCapabilities(const PlanStep& step) {
  CapabilitySets sets;
  for (int half = 0; half < 2; ++half) {
    sets.data[half].effective = static_cast<uint32_t>(step.number[0] >> 32 * half);
    sets.data[half].permitted = static_cast<uint32_t>(step.number[1] >> 32 * half);
    sets.data[half].inheritable = static_cast<uint32_t>(step.number[2] >> 32 * half);
  }
  long result = raw::Call(SYS_capset, &sets.header, sets.data);
  if (result < 0) return From(result);
  result = raw::Call(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (int capability = 0; capability <= kHighestCapability && result >= 0; ++capability) {
    if ((step.number[3] >> capability & 1) == 0) continue;
    result = raw::Call(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
  }
  return From(result);
}

Outcome SetRlimit(const PlanStep& step) {
  const rlimit limit = {step.number[1], step.number[2]};
  return From(raw::Call(SYS_prlimit64, 0, step.number[0], &limit, nullptr));
}

Outcome SetScheduler(const PlanView& plan, const PlanStep& step) {
  sched_attr attributes = {};
  attributes.size = sizeof(attributes);
  attributes.sched_policy = static_cast<uint32_t>(step.number[0]);
  attributes.sched_flags = step.number[1];
  attributes.sched_nice = static_cast<int32_t>(step.number[2]);
  attributes.sched_priority = static_cast<uint32_t>(step.number[3]);
  attributes.sched_runtime = step.number[4];
  attributes.sched_deadline = step.number[5];
  if (step.ref[0].size == sizeof(uint64_t)) {
    memcpy(&attributes.sched_period, plan.data(step.ref[0]), sizeof(uint64_t));
  }
  return From(raw::Call(SYS_sched_setattr, 0, &attributes, 0));
}

// A directory outside the root is one that came through a leaked descriptor, as in /proc/self/fd/7
// (CVE-2024-21626): the kernel names it without a leading slash.
Outcome ChangeDirectory(const char* path) {
  const long changed = raw::Call(SYS_chdir, path);
  if (changed < 0) return From(changed);
  char name[PATH_MAX];
  const long size = raw::Call(SYS_getcwd, name, sizeof(name));
  if (size == -ERANGE) return Done();  // longer than PATH_MAX, hence reachable from the root
  if (size < 0) return From(size);
  return name[0] == '/' ? Done() : From(-EPERM, FailureDetail::kOutsideRoot);
}

// Ignored signals and the mask survive an execve.
void ResetSignals() {
  struct {
    void* handler;
    unsigned long flags;
    void* restorer;
    uint64_t mask;
  } action = {};
  for (int signal = 1; signal <= kSignals; ++signal) {
    if (signal == SIGKILL || signal == SIGSTOP) continue;
    raw::Call(SYS_rt_sigaction, signal, &action, nullptr, sizeof(action.mask));
  }
  const uint64_t none = 0;
  raw::Call(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof(none));
}

// As execvp(3), with the program's own PATH, but for the retry through a shell.
long ExecuteSearched(const char* name, const char* search, char** arguments, char** environment) {
  const size_t name_size = strlen(name);
  long result = -ENOENT;
  bool denied = false;
  for (const char* entry = search;; ++entry) {
    const char* end = entry;
    while (*end != '\0' && *end != ':') ++end;
    const auto size = static_cast<size_t>(end - entry);
    char path[PATH_MAX];
    if (size + name_size + 3 <= sizeof(path)) {
      size_t used = 0;
      if (size == 0) path[used++] = '.';
      memcpy(path + used, entry, size);
      used += size;
      path[used++] = '/';
      memcpy(path + used, name, name_size + 1);
      result = raw::Call(SYS_execve, path, arguments, environment);
      if (result == -EACCES) denied = true;
      const bool go_on = result == -ENOENT || result == -ENOTDIR || result == -EACCES;
      if (!go_on) return result;
    }
    if (*end == '\0') break;
    entry = end;
  }
  return denied ? -EACCES : -ENOENT;
}

// No system call but execve: seccomp may kill for any other by now.
Outcome Execute(const StepMachine& machine, const PlanStep& step) {
  char** const arguments = machine.program.first;
  char** const environment = machine.program.second;
  if (arguments == nullptr || arguments[0] == nullptr || *arguments[0] == '\0') {
    return From(-ENOENT);
  }
  if (strchr(arguments[0], '/') != nullptr) {
    return From(raw::Call(SYS_execve, arguments[0], arguments, environment));
  }
  const char* search = machine.plan.text(step.ref[2]);
  return From(ExecuteSearched(arguments[0], search, arguments, environment));
}

// Opens the namespace by the host's /proc, or wherever the path leads before the root changes.
Outcome JoinNamespace(const char* path, uint64_t flag) {
  const raw::Fd file(raw::Call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return From(-file.error(), FailureDetail::kSource);
  return From(raw::Call(SYS_setns, file.get(), flag));  // EINVAL if it is of another kind
}

char* AppendNumber(char* out, unsigned number) {
  char digits[16];
  int count = 0;
  for (; number != 0 || count == 0; number /= 10)
    digits[count++] = static_cast<char>('0' + number % 10);
  while (count > 0) *out++ = digits[--count];
  *out = '\0';
  return out;
}

// The root directory of the process to join; its number in our pid namespace stands in the pidfd's
// own file (proc(5), /proc/pid/fdinfo).
raw::Fd OpenJoinedRoot(int join) {
  char path[64] = "/proc/self/fdinfo/";
  AppendNumber(path + strlen(path), static_cast<unsigned>(join));
  const raw::Fd file(raw::Call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return raw::Fd(-file.error());
  char text[512] = {};
  raw::Call(SYS_read, file.get(), text, sizeof(text) - 1);
  constexpr char kKey[] = "\nPid:\t";
  constexpr size_t kKeySize = sizeof(kKey) - 1;
  unsigned pid = 0;
  for (const char* at = text; at + kKeySize < text + sizeof(text) && pid == 0; ++at) {
    if (memcmp(at, kKey, kKeySize) != 0) continue;
    for (at += kKeySize; *at >= '0' && *at <= '9'; ++at) {
      pid = pid * 10 + static_cast<unsigned>(*at - '0');
    }
  }
  if (pid == 0) return raw::Fd(-ESRCH);
  char root[64] = "/proc/";
  memcpy(AppendNumber(root + strlen(root), pid), "/root", sizeof("/root"));
  return raw::Fd(raw::Call(SYS_openat, AT_FDCWD, root, O_PATH | O_DIRECTORY | O_CLOEXEC));
}

// The root of the container's mount namespace becomes ours; or, where it shares one, its own.
Outcome JoinProcess(StepMachine& machine, uint64_t namespaces, bool has_own_root) {
  raw::Fd root;
  if (has_own_root) {
    root = OpenJoinedRoot(machine.join);
    if (!root.ok()) return From(-root.error(), FailureDetail::kTarget);
  }
  const long joined = namespaces == 0 ? 0 : raw::Call(SYS_setns, machine.join, namespaces);
  if (joined < 0) return From(joined);
  if (has_own_root) {
    long changed = raw::Call(SYS_fchdir, root.get());
    if (changed >= 0) changed = raw::Call(SYS_chroot, ".");
    if (changed < 0) return From(changed, FailureDetail::kTarget);
  }
  machine.root = raw::Fd(raw::Call(SYS_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  return From(machine.root.ok() ? 0 : -machine.root.error(), FailureDetail::kTarget);
}

}  // namespace

Outcome ExecuteIdentityStep(StepMachine& machine, const PlanStep& step) {
  const PlanView& plan = machine.plan;
  const char* text = plan.text(step.ref[0]);
  switch (static_cast<Opcode>(step.opcode)) {
    case Opcode::kNewSession:
      return NewSession(step.number[0] != 0);
    case Opcode::kBecomeNamespaceRoot:
      return BecomeNamespaceRoot();
    case Opcode::kUnshare:
      return From(raw::Call(SYS_unshare, step.number[0]));
    case Opcode::kJoinNamespace:
      return JoinNamespace(text, step.number[0]);
    case Opcode::kJoinProcess:
      return JoinProcess(machine, step.number[0], step.number[1] != 0);
    case Opcode::kSetHostname:
      return From(raw::Call(SYS_sethostname, text, step.ref[0].size));
    case Opcode::kSetDomainname:
      return From(raw::Call(SYS_setdomainname, text, step.ref[0].size));
    case Opcode::kSetRlimit:
      return SetRlimit(step);
    case Opcode::kSetScheduler:
      return SetScheduler(plan, step);
    case Opcode::kSetAffinity:
      return From(raw::Call(SYS_sched_setaffinity, 0, step.ref[0].size, text));
    case Opcode::kSetIoPriority:
      return From(raw::Call(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, step.number[0]));
    case Opcode::kSetPersonality:
      return From(raw::Call(SYS_personality, step.number[0]));
    case Opcode::kSetMemoryPolicy:
      return From(raw::Call(SYS_set_mempolicy, step.number[0],
                            step.ref[0].size == 0 ? nullptr : text, step.number[1]));
    case Opcode::kChangeDirectory:
      return ChangeDirectory(text);
    case Opcode::kSetNoNewPrivileges:
      return From(raw::Call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    case Opcode::kBoundCapabilities:
      return BoundCapabilities(step.number[0]);
    case Opcode::kSetUser:
      return SetUser(plan, step);
    case Opcode::kSetCapabilities:
      return SetCapabilities(step);
    case Opcode::kSetUmask:
      return From(raw::Call(SYS_umask, step.number[0]));
    case Opcode::kResetSignals:
      ResetSignals();
      return Done();
    case Opcode::kLoadSeccomp:
      return LoadSeccomp(machine, step);
    case Opcode::kExecute:
      return Execute(machine, step);
    default:
      return From(-ENOSYS);
  }
}

}  // namespace ocid
