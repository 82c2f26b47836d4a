#include "runtime/plan/plan_text.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/plan/launch_plan.h"
#include "runtime/plan/process_names.h"

namespace ocid {
namespace {

constexpr std::pair<uint64_t, const char*> kNamespaces[] = {
    {CLONE_NEWUSER, "user"},     {CLONE_NEWPID, "pid"},   {CLONE_NEWNS, "mount"},
    {CLONE_NEWNET, "network"},   {CLONE_NEWIPC, "ipc"},   {CLONE_NEWUTS, "uts"},
    {CLONE_NEWCGROUP, "cgroup"}, {CLONE_NEWTIME, "time"},
};

constexpr std::pair<uint64_t, const char*> kAttributes[] = {
    {MOUNT_ATTR_RDONLY, "ro"},
    {MOUNT_ATTR_NOSUID, "nosuid"},
    {MOUNT_ATTR_NODEV, "nodev"},
    {MOUNT_ATTR_NOEXEC, "noexec"},
    {MOUNT_ATTR_NOATIME, "noatime"},
    {MOUNT_ATTR_STRICTATIME, "strictatime"},
    {MOUNT_ATTR_NODIRATIME, "nodiratime"},
    {MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow"},
};

constexpr std::pair<uint64_t, const char*> kPropagations[] = {
    {MS_SHARED, "shared"},
    {MS_SLAVE, "slave"},
    {MS_PRIVATE, "private"},
    {MS_UNBINDABLE, "unbindable"},
};

constexpr const char* kPhaseNames[kPhaseCount] = {
    "host, before the clone", "host, after the clone",       "child: root",
    "child: setup",           "host: runtime hooks",         "child: enter",
    "child: start",           "host, on request: poststart", "host, on request: poststop",
};

constexpr const char* kHookNames[] = {"prestart",       "createRuntime", "createContainer",
                                      "startContainer", "poststart",     "poststop"};

template <typename Table>
std::string Names(const Table& table, uint64_t bits) {
  std::string names;
  for (const auto& [bit, name] : table) {
    if ((bits & bit) != 0) absl::StrAppend(&names, names.empty() ? "" : ",", name);
  }
  return names;
}

std::vector<std::string> Strings(const PlanView& plan, PlanRef list) {
  std::vector<std::string> strings;
  if (list.offset == 0) return strings;
  const char* text = plan.data(list);
  const char* const end = text + list.size;
  while (text < end) {
    strings.emplace_back(text);
    text += strings.back().size() + 1;
  }
  return strings;
}

// Quoted where a shell would need it.
std::string Words(const PlanView& plan, PlanRef list) {
  std::string words;
  for (const std::string& word : Strings(plan, list)) {
    const bool plain = !word.empty() && word.find_first_of(" \t\n'\"\\$") == std::string::npos;
    absl::StrAppend(&words, " ", plain ? word : "'" + word + "'");
  }
  return words;
}

// Keys and values in turn.
std::string Parameters(const PlanView& plan, PlanRef list) {
  std::string words;
  const std::vector<std::string> strings = Strings(plan, list);
  for (size_t i = 0; i + 1 < strings.size(); i += 2) {
    absl::StrAppend(&words, words.empty() ? "" : ",", strings[i], strings[i + 1]);
  }
  return words;
}

// Numbers n2..n5 of a step that mounts.
std::string Attributes(const PlanStep& step) {
  std::string text;
  const auto add = [&text](const char* label, const std::string& names) {
    if (!names.empty()) absl::StrAppend(&text, " ", label, names);
  };
  // The atime setting is one of several: clearing it goes with every set.
  const uint64_t own_clear = step.number[3] & ~uint64_t{MOUNT_ATTR__ATIME};
  const uint64_t below_clear = step.number[4] >> 32 & ~uint64_t{MOUNT_ATTR__ATIME};
  add("+", Names(kAttributes, step.number[2]));
  add("-", Names(kAttributes, own_clear));
  add("below+", Names(kAttributes, step.number[4] & 0xffffffff));
  add("below-", Names(kAttributes, below_clear));
  const uint64_t propagation = step.number[5];
  add((propagation & MS_REC) != 0 ? "r" : "", Names(kPropagations, propagation));
  return text;
}

std::string DeviceKind(uint64_t mode) {
  if (S_ISBLK(mode)) return "block";
  if (S_ISFIFO(mode)) return "fifo";
  return "char";
}

std::string Limit(uint64_t value) {
  return value == UINT64_MAX ? "unlimited" : absl::StrCat(value);
}

// "/dev" and "null" -> "/dev/null".
std::string Join(const char* directory, const char* name) {
  return strcmp(directory, "/") == 0 ? absl::StrCat("/", name) : absl::StrCat(directory, "/", name);
}

const char* ErrnoName(int error) {
  const char* name = strerrorname_np(error);
  return name != nullptr ? name : "?";
}

std::string DescribePlace(uint32_t place) {
  switch (place) {
    case kFailedPlan:
      return "execute the plan";
    case kFailedDescriptors:
      return "put descriptors in place";
    case kFailedClone:
      return "clone";
    case kFailedCallback:
      return "after the clone";
    case kFailedCgroup:
      return "enter a cgroup";
    case kFailedJoin:
      return "leave the namespaces of the container";
    default:
      return "the container's process";
  }
}

// Which part of a step; empty where the step itself says it.
std::string DescribeDetail(const PlanView& plan, const PlanStep* step, FailureDetail detail,
                           uint32_t argument) {
  switch (detail) {
    case FailureDetail::kSource:
      return "open the source";
    case FailureDetail::kTarget:
      return "resolve the destination";
    case FailureDetail::kCreateTarget:
      return "make the file";
    case FailureDetail::kTargetOnProcfs:
      return "the destination leads into procfs";
    case FailureDetail::kTypeMismatch:
      return "another kind of file is there";
    case FailureDetail::kOpenFs:
      return "open the file system type";
    case FailureDetail::kParameter: {
      const std::vector<std::string> strings =
          step == nullptr ? std::vector<std::string>() : Strings(plan, step->ref[2]);
      if (2 * argument + 1 >= strings.size()) return "option";
      return absl::StrCat("option ", strings[2 * argument], strings[2 * argument + 1]);
    }
    case FailureDetail::kAttributes:
      return "set the mount's attributes";
    case FailureDetail::kAttach:
      return "attach";
    case FailureDetail::kOutsideRoot:
      return "the directory is outside of the container's root";
    case FailureDetail::kHookExit:
      return absl::StrCat("exit code ", argument);
    case FailureDetail::kHookSignal:
      return absl::StrCat("killed by SIG", sigabbrev_np(static_cast<int>(argument)));
    case FailureDetail::kHookTimeout:
      return "took longer than its timeout";
    case FailureDetail::kSignal:
      return absl::StrCat("killed by SIG", sigabbrev_np(static_cast<int>(argument)));
    case FailureDetail::kExit:
      return absl::StrCat("exited with ", argument, " before it was ready");
    case FailureDetail::kUid:
      return "user";
    case FailureDetail::kGid:
      return "group";
    case FailureDetail::kGroups:
      return "additional groups";
    case FailureDetail::kPty:
      return "open a pseudo-terminal";
    case FailureDetail::kControllingTerminal:
      return "controlling terminal";
    case FailureDetail::kUserNamespace:
      return "user namespace";
    case FailureDetail::kIdMap:
      return "map ids (does the file system allow it?)";
    case FailureDetail::kCopyUp:
      return "copy what it covers";
    case FailureDetail::kNameTaken:
      return "the container has a network device of that name";
    case FailureDetail::kMoveDevice:
      return "move it";
    case FailureDetail::kDeviceAddress:
      return "give it its addresses";
    case FailureDetail::kSchemata:
      return "schemata";
    case FailureDetail::kListener:
      return "tell the seccomp listener";
    default:
      return "";
  }
}

// Whether the detail says all there is, so that the errno would only confuse.
bool SaysItAll(FailureDetail detail) {
  switch (detail) {
    case FailureDetail::kHookExit:
    case FailureDetail::kHookSignal:
    case FailureDetail::kHookTimeout:
    case FailureDetail::kSignal:
    case FailureDetail::kExit:
    case FailureDetail::kOutsideRoot:
    case FailureDetail::kTargetOnProcfs:
    case FailureDetail::kTypeMismatch:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::string DescribeStep(const PlanView& plan, const PlanStep& step) {
  const auto& n = step.number;
  const char* r0 = plan.text(step.ref[0]);
  const char* r1 = plan.text(step.ref[1]);
  switch (static_cast<Opcode>(step.opcode)) {
    case Opcode::kJoinNamespace:
      return absl::StrCat("join ", Names(kNamespaces, n[0]), " namespace ", r0);
    case Opcode::kJoinProcess:
      return absl::StrCat("join the container's ", Names(kNamespaces, n[0]));
    case Opcode::kCloneAgain:
      return "go on in a clone of the pid namespace";
    case Opcode::kWriteIdMaps:
      return "write the id maps";
    case Opcode::kMapIdsByProgram:
      return absl::StrCat("map ids by ", r0);
    case Opcode::kOpenIdmappedTree:
      return absl::StrCat("open id-mapped ", n[1] != 0 ? "tree " : "", r0, " as #", n[0]);
    case Opcode::kMoveNetDevice:
      return absl::StrCat("move network device ", r0, " as ", r1);
    case Opcode::kJoinResctrl:
      return absl::StrCat("join resctrl group ", r0);
    case Opcode::kUnshare:
      return absl::StrCat("unshare ", Names(kNamespaces, n[0]));
    case Opcode::kBecomeNamespaceRoot:
      return "become root of the user namespace";
    case Opcode::kWriteProcSelf:
      return absl::StrCat("write ", r0);
    case Opcode::kSetHostPropagation:
      return absl::StrCat("make / r", Names(kPropagations, n[0]));
    case Opcode::kIsolateParentMount:
      return absl::StrCat("make the mount of ", r0, " private");
    case Opcode::kAttachRootfs:
      return absl::StrCat("root file system ", r0);
    case Opcode::kOpenTree:
      return absl::StrCat("open ", n[1] != 0 ? "tree " : "", r0, " as #", n[0]);
    case Opcode::kAttachTree:
      return absl::StrCat("bind #", n[0], " on ", r0, Attributes(step));
    case Opcode::kMountFs:
      return absl::StrCat("mount ", r0, " on ", r1, Attributes(step));
    case Opcode::kSetMountAttributes:
      return absl::StrCat("remount ", r0, Attributes(step));
    case Opcode::kReconfigure:
      return absl::StrCat("remount file system ", r0, Attributes(step));
    case Opcode::kMakeDirectory:
      return absl::StrCat("make directory ", r0);
    case Opcode::kMakeSymlink:
      return absl::StrCat("make symlink ", Join(r0, r1), " -> ", plan.text(step.ref[2]));
    case Opcode::kMakeNode:
      return absl::StrFormat("make %s device %s %d:%d mode %o owner %d:%d", DeviceKind(n[0]),
                             Join(r0, r1), n[1], n[2], n[0] & 07777, n[3], n[4]);
    case Opcode::kMaskPath:
      return absl::StrCat("mask ", r0);
    case Opcode::kReadonlyPath:
      return absl::StrCat("make read-only ", r0);
    case Opcode::kMakeConsole:
      return absl::StrCat("make a console of ", n[0], "x", n[1], " for user ", n[2],
                          n[3] != 0 ? " at /dev/console" : "");
    case Opcode::kOpenProc:
      return "open a private procfs";
    case Opcode::kWriteSysctl:
      return absl::StrCat("set sysctl ", r0, " = ", r1);
    case Opcode::kSetHostname:
      return absl::StrCat("set hostname ", r0);
    case Opcode::kSetDomainname:
      return absl::StrCat("set domainname ", r0);
    case Opcode::kRunHook:
      return absl::StrCat("run ", n[3] < std::size(kHookNames) ? kHookNames[n[3]] : "?", " hook ",
                          r0);
    case Opcode::kPivotRoot:
      return "pivot root";
    case Opcode::kSetRootPropagation:
      return absl::StrCat("make / ", Names(kPropagations, n[0]));
    case Opcode::kChangeRoot:
      return "change root";
    case Opcode::kNewSession:
      return "new session";
    case Opcode::kSetRlimit:
      return absl::StrCat("set ", std::string(RlimitName(n[0])), " ", Limit(n[1]), " of ",
                          Limit(n[2]));
    case Opcode::kSetScheduler:
      return absl::StrCat("set scheduler policy ", n[0], " flags ", n[1], " nice ",
                          static_cast<int64_t>(n[2]), " priority ", n[3]);
    case Opcode::kSetAffinity:
      return "set CPU affinity";
    case Opcode::kSetIoPriority:
      return absl::StrCat("set I/O priority ", n[0] & 0x1fff, " of class ", n[0] >> 13);
    case Opcode::kSetPersonality:
      return absl::StrFormat("set personality %#x", n[0]);
    case Opcode::kSetMemoryPolicy:
      return absl::StrFormat("set memory policy %#x", n[0]);
    case Opcode::kChangeDirectory:
      return absl::StrCat("change directory to ", r0);
    case Opcode::kSetNoNewPrivileges:
      return "set no_new_privs";
    case Opcode::kBoundCapabilities:
      return absl::StrCat("bound capabilities to ", CapabilityNames(n[0]));
    case Opcode::kSetUser:
      return absl::StrCat(
          "become user ", n[0], " group ", n[1],
          n[2] == kKeepGroups ? "" : absl::StrCat(" with ", n[2], " additional groups"));
    case Opcode::kSetCapabilities:
      return absl::StrCat("set capabilities: effective ", CapabilityNames(n[0]), "; permitted ",
                          CapabilityNames(n[1]), "; inheritable ", CapabilityNames(n[2]),
                          "; ambient ", CapabilityNames(n[3]));
    case Opcode::kSetUmask:
      return absl::StrFormat("set umask %03o", n[0]);
    case Opcode::kResetSignals:
      return "reset signals";
    case Opcode::kSetExecLabel:
      return absl::StrCat("label the program ", r1);
    case Opcode::kLoadSeccomp:
      return absl::StrCat("load seccomp filter of ", step.ref[0].size / sizeof(sock_filter),
                          " instructions", n[1] != 0 ? absl::StrCat(" and tell ", r1) : "");
    case Opcode::kExecute:
      return absl::StrCat("exec", Words(plan, step.ref[0]));
    case Opcode::kInvalid:
    case Opcode::kCount:
      break;
  }
  return "?";
}

std::string PlanText(const PlanView& plan) {
  std::string text = absl::StrCat("clone ", Names(kNamespaces, plan.header().clone_flags), "\n");
  for (size_t phase = 0; phase < kPhaseCount; ++phase) {
    const uint32_t begin = plan.begin(static_cast<Phase>(phase));
    const uint32_t end = plan.end(static_cast<Phase>(phase));
    if (phase == static_cast<size_t>(Phase::kStart) && plan.has(kPlanHasGate)) {
      absl::StrAppend(&text, "gate\n");
    }
    if (begin != end) absl::StrAppend(&text, kPhaseNames[phase], "\n");
    for (uint32_t i = begin; i < end; ++i) {
      const PlanStep& step = plan.step(i);
      absl::StrAppendFormat(&text, "%4d  %s", i, DescribeStep(plan, step));
      if (static_cast<Opcode>(step.opcode) == Opcode::kMountFs && step.ref[2].size != 0) {
        absl::StrAppend(&text, " ", Parameters(plan, step.ref[2]));
      }
      if (step.source != 0) absl::StrAppend(&text, "  [", plan.text_at(step.source), "]");
      text += '\n';
    }
  }
  return text;
}

std::string LaunchPlan::Text() const { return PlanText(view_); }

std::string DescribeFailure(const PlanView& plan, const FailureRecord& failure) {
  if (failure.ok()) return "";
  const auto detail = static_cast<FailureDetail>(failure.detail & 0xffffffff);
  const auto argument = static_cast<uint32_t>(failure.detail >> 32);
  const PlanStep* step = nullptr;
  std::string subject = DescribePlace(failure.step);
  if (plan.valid() && failure.step < plan.step_count()) {
    step = &plan.step(failure.step);
    if (static_cast<Opcode>(step->opcode) == Opcode::kExecute) {
      // The rest of the command line does not say what was not found.
      subject = absl::StrCat("exec ", plan.text(step->ref[0]));
    } else if (static_cast<Opcode>(step->opcode) == Opcode::kRunHook) {
      // The words of runc, which people and their scripts look for.
      const size_t kind = step->number[3];
      subject = absl::StrCat("error running ", kind < std::size(kHookNames) ? kHookNames[kind] : "?",
                             " hook ", plan.text(step->ref[0]));
    } else {
      subject = absl::StrCat("step ", failure.step, ": ", DescribeStep(plan, *step));
    }
  }
  std::string text = subject;
  const std::string part = DescribeDetail(plan, step, detail, argument);
  if (!part.empty()) absl::StrAppend(&text, ": ", part);
  if (!SaysItAll(detail)) {
    absl::StrAppend(&text, ": ", ErrnoName(failure.error), " (", strerror(failure.error), ")");
  }
  return text;
}

bool IsMissingExecutable(const PlanView& plan, const FailureRecord& failure) {
  if (!plan.valid() || failure.step >= plan.step_count()) return false;
  const bool executing = static_cast<Opcode>(plan.step(failure.step).opcode) == Opcode::kExecute;
  return executing && (failure.error == ENOENT || failure.error == ENOTDIR);
}

std::string FailureSource(const PlanView& plan, const FailureRecord& failure) {
  if (failure.ok() || !plan.valid() || failure.step >= plan.step_count()) return "";
  return plan.text_at(plan.step(failure.step).source);
}

}  // namespace ocid
