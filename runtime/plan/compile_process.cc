// The `process` object, linux.seccomp, linux.personality and linux.memoryPolicy.
//
// Source: runtime-spec config.md#process, config-linux.md.
#include <linux/mempolicy.h>
#include <linux/sched.h>
#include <sys/personality.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "runtime/plan/compile_context.h"
#include "runtime/plan/process_names.h"
#include "runtime/seccomp/bpf_compile.h"

namespace ocid {
namespace {

constexpr uint64_t kMaxId = UINT32_MAX - 1;  // (uid_t)-1 means none
constexpr uint64_t kDefaultUmask = 022;
constexpr unsigned kMaxCpu = 8191;    // CONFIG_NR_CPUS_RANGE_END of x86-64
constexpr unsigned kMaxNode = 1023;   // CONFIG_NODES_SHIFT 10
constexpr size_t kMaxGroups = 65536;  // NGROUPS_MAX

// ---- before the gate

void CompileOomScore(CompileContext& context, const JsonCursor& process, bool joins) {
  const JsonCursor score = process["oomScoreAdj"];
  if (!score.exists()) return;
  const int64_t value = score.Signed(0, -1000, 1000);
  // In a user namespace the child may not lower it; the host may.
  const bool by_host = !joins && context.has_user_namespace();
  const Phase phase = by_host ? Phase::kAfterClone : Phase::kRoot;
  PlanWriter& writer = context.writer;
  writer.Add(phase, Opcode::kWriteProcSelf, score.pointer(), {},
             {writer.Text("oom_score_adj"), writer.Text(absl::StrCat(value))});
}

void CompileConsole(CompileContext& context, const JsonCursor& process, bool joins) {
  if (!process["terminal"].Bool()) return;
  const JsonCursor size = process["consoleSize"];
  const uint64_t rows = size["height"].Unsigned(0, UINT16_MAX);
  const uint64_t columns = size["width"].Unsigned(0, UINT16_MAX);
  context.writer.header().flags |= kPlanHasConsole;
  context.writer.Add(Phase::kSetup, Opcode::kMakeConsole, process["terminal"].pointer(),
                     {rows, columns, process["user"]["uid"].Unsigned(0, kMaxId), joins ? 0u : 1u});
}

void CompileRlimits(CompileContext& context, const JsonCursor& rlimits) {
  uint64_t seen = 0;
  for (const JsonCursor& entry : rlimits.Elements()) {
    const std::optional<int> number = RlimitNumber(entry["type"].String());
    if (!number.has_value()) {
      entry["type"].Invalid("unknown resource");
      continue;
    }
    if ((seen >> *number & 1) != 0) entry["type"].Invalid("named twice");
    seen |= uint64_t{1} << *number;
    const uint64_t soft = entry["soft"].Unsigned();
    const uint64_t hard = entry["hard"].Unsigned();
    if (soft > hard) entry["soft"].Invalid("must not be greater than the hard limit");
    context.writer.Add(Phase::kEnter, Opcode::kSetRlimit, entry.pointer(),
                       {static_cast<uint64_t>(*number), soft, hard});
  }
}

void CompileScheduler(CompileContext& context, const JsonCursor& scheduler) {
  if (!scheduler.exists()) return;
  const std::optional<uint32_t> policy = SchedulerPolicy(scheduler["policy"].String());
  if (!policy.has_value()) scheduler["policy"].Invalid("unknown policy");
  uint64_t flags = 0;
  for (const JsonCursor& element : scheduler["flags"].Elements()) {
    const std::optional<uint64_t> flag = SchedulerFlag(element.String());
    if (!flag.has_value()) element.Invalid("unknown flag");
    flags |= flag.value_or(0);
  }
  const uint64_t period = scheduler["period"].Unsigned();
  std::string period_bytes(sizeof(period), '\0');
  std::memcpy(period_bytes.data(), &period, sizeof(period));
  context.writer.Add(
      Phase::kEnter, Opcode::kSetScheduler, scheduler.pointer(),
      {policy.value_or(0), flags, static_cast<uint64_t>(scheduler["nice"].Signed(0, -20, 19)),
       static_cast<uint64_t>(scheduler["priority"].Signed(0, 0, 99)),
       scheduler["runtime"].Unsigned(), scheduler["deadline"].Unsigned()},
      {context.writer.Text(period_bytes)});
}

void CompileIoPriority(CompileContext& context, const JsonCursor& priority) {
  if (!priority.exists()) return;
  const std::optional<int> io_class = IoPriorityClass(priority["class"].String());
  if (!io_class.has_value()) priority["class"].Invalid("unknown class");
  const uint64_t level = priority["priority"].Unsigned(0, 7);
  constexpr int kClassShift = 13;  // IOPRIO_CLASS_SHIFT
  context.writer.Add(Phase::kEnter, Opcode::kSetIoPriority, priority.pointer(),
                     {static_cast<uint64_t>(io_class.value_or(0)) << kClassShift | level});
}

std::string MaskBytes(const std::vector<uint64_t>& mask) {
  return {reinterpret_cast<const char*>(mask.data()), mask.size() * sizeof(uint64_t)};
}

// `initial` is for the way into the container's cgroup, which a clone into it does not have.
void CompileAffinity(CompileContext& context, const JsonCursor& affinity, bool joins) {
  if (!affinity.exists()) return;
  if (!joins) {
    context.warnings.push_back(
        absl::StrCat(affinity.pointer(), ": only for processes that join a container"));
    return;
  }
  const bool has_final = !affinity["final"].String().empty();
  const JsonCursor list = affinity[has_final ? "final" : "initial"];
  const std::string text = list.String();
  if (text.empty()) return;
  const std::optional<std::vector<uint64_t>> mask = ParseNumberList(text, kMaxCpu);
  if (!mask.has_value()) return list.Invalid("must be a list of CPUs, as in 0-3,7");
  context.writer.Add(Phase::kEnter, Opcode::kSetAffinity, list.pointer(), {},
                     {context.writer.Text(MaskBytes(*mask))});
}

void CompilePersonality(CompileContext& context, const JsonCursor& cursor) {
  if (!cursor.exists()) return;
  const std::string domain = cursor["domain"].String();
  if (domain != "LINUX" && domain != "LINUX32") {
    cursor["domain"].Invalid("must be LINUX or LINUX32");
  }
  if (!cursor["flags"].Elements().empty()) cursor["flags"].Invalid("no flags are defined");
  context.writer.Add(Phase::kEnter, Opcode::kSetPersonality, cursor.pointer(),
                     {domain == "LINUX32" ? uint64_t{PER_LINUX32} : uint64_t{PER_LINUX}});
}

constexpr std::pair<std::string_view, uint64_t> kMemoryModes[] = {
    {"MPOL_DEFAULT", 0},
    {"MPOL_PREFERRED", 1},
    {"MPOL_BIND", 2},
    {"MPOL_INTERLEAVE", 3},
    {"MPOL_LOCAL", 4},
    {"MPOL_PREFERRED_MANY", 5},
    {"MPOL_WEIGHTED_INTERLEAVE", 6},
};
constexpr std::pair<std::string_view, uint64_t> kMemoryFlags[] = {
    {"MPOL_F_NUMA_BALANCING", 1u << 13},
    {"MPOL_F_RELATIVE_NODES", 1u << 14},
    {"MPOL_F_STATIC_NODES", 1u << 15},
};

template <typename Table>
uint64_t NumberOf(const Table& table, const JsonCursor& cursor) {
  const std::string name = cursor.String();
  for (const auto& [known, number] : table) {
    if (known == name) return number;
  }
  cursor.Invalid("unknown name");
  return 0;
}

void CompileMemoryPolicy(CompileContext& context, const JsonCursor& policy) {
  if (!policy.exists()) return;
  uint64_t mode = NumberOf(kMemoryModes, policy["mode"]);
  for (const JsonCursor& flag : policy["flags"].Elements()) mode |= NumberOf(kMemoryFlags, flag);
  const JsonCursor nodes = policy["nodes"];
  const std::string text = nodes.String();
  std::string mask;
  if (!text.empty()) {
    const std::optional<std::vector<uint64_t>> parsed = ParseNumberList(text, kMaxNode);
    if (!parsed.has_value()) return nodes.Invalid("must be a list of nodes, as in 0-3,7");
    mask = MaskBytes(*parsed);
  }
  // The kernel takes one bit less than it is told.
  context.writer.Add(Phase::kEnter, Opcode::kSetMemoryPolicy, policy.pointer(),
                     {mode, mask.empty() ? 0 : kMaxNode + 2}, {context.writer.Text(mask)});
}

// ---- after the gate

// What confines a program must not be left out where its security module does not run. The hooks
// before the program are not to have it.
void CompileLabels(CompileContext& context, const JsonCursor& process) {
  PlanWriter& writer = context.writer;
  const JsonCursor profile = process["apparmorProfile"];
  const std::string name = profile.String();
  if (context.host.apparmor && !name.empty()) {
    writer.Add(Phase::kStart, Opcode::kSetExecLabel, profile.pointer(), {},
               {writer.Text("apparmor/exec"), writer.Text("exec " + name)});
  } else if (!name.empty() && name != "unconfined") {
    profile.Unsupported("AppArmor does not run on this host");
  }
  const JsonCursor label = process["selinuxLabel"];
  const std::string context_name = label.String();
  if (context.host.selinux && !context_name.empty()) {
    writer.Add(Phase::kStart, Opcode::kSetExecLabel, label.pointer(), {},
               {writer.Text("exec"), writer.Text(context_name)});
  } else if (!context_name.empty()) {
    label.Unsupported("SELinux does not run on this host");
  }
}

struct Capabilities {
  uint64_t bounding = 0;
  uint64_t effective = 0;
  uint64_t permitted = 0;
  uint64_t inheritable = 0;
  uint64_t ambient = 0;
};

// What cannot be mapped or granted is left out with a warning, as the specification asks.
uint64_t ReadCapabilitySet(CompileContext& context, const JsonCursor& list) {
  uint64_t mask = 0;
  for (const JsonCursor& element : list.Elements()) {
    const std::string name = element.String();
    const std::optional<int> number = CapabilityNumber(name);
    if (!number.has_value()) {
      context.warnings.push_back(absl::StrCat(element.pointer(), ": unknown capability ", name));
    } else if ((context.host.capability_bounds >> *number & 1) == 0) {
      context.warnings.push_back(
          absl::StrCat(element.pointer(), ": this host cannot grant ", name));
    } else {
      mask |= uint64_t{1} << *number;
    }
  }
  return mask;
}

void LimitTo(CompileContext& context, const JsonCursor& list, uint64_t limit, uint64_t& mask) {
  const uint64_t excess = mask & ~limit;
  if (excess == 0) return;
  context.warnings.push_back(absl::StrCat(
      list.pointer(), ": not grantable with the other sets: ", CapabilityNames(excess)));
  mask &= limit;
}

Capabilities ReadCapabilities(CompileContext& context, const JsonCursor& cursor) {
  Capabilities sets;
  sets.bounding = ReadCapabilitySet(context, cursor["bounding"]);
  sets.permitted = ReadCapabilitySet(context, cursor["permitted"]);
  sets.effective = ReadCapabilitySet(context, cursor["effective"]);
  sets.inheritable = ReadCapabilitySet(context, cursor["inheritable"]);
  sets.ambient = ReadCapabilitySet(context, cursor["ambient"]);
  // The kernel's own conditions (capset(2), PR_CAP_AMBIENT of prctl(2)).
  LimitTo(context, cursor["effective"], sets.permitted, sets.effective);
  LimitTo(context, cursor["inheritable"], sets.bounding | sets.permitted, sets.inheritable);
  LimitTo(context, cursor["ambient"], sets.permitted & sets.inheritable, sets.ambient);
  return sets;
}

void CompileUser(CompileContext& context, const JsonCursor& user) {
  const std::vector<JsonCursor> list = user["additionalGids"].Elements();
  if (list.size() > kMaxGroups) user["additionalGids"].Invalid("too many groups");
  std::string groups;
  for (const JsonCursor& element : list) {
    const auto group = static_cast<uint32_t>(element.Unsigned(0, kMaxId));
    groups.append(reinterpret_cast<const char*>(&group), sizeof(group));
  }
  uint64_t count = list.size();
  if (context.denies_setgroups()) {
    if (count != 0) user["additionalGids"].Unsupported("an ordinary user may not set groups");
    count = kKeepGroups;
  }
  context.writer.Add(Phase::kStart, Opcode::kSetUser, user.pointer(),
                     {user["uid"].Unsigned(0, kMaxId), user["gid"].Unsigned(0, kMaxId), count},
                     {context.writer.Text(groups)});
}

// The ContainerProcessState up to its pid.
std::string ListenerMessage(const CompileContext& context, const JsonCursor& seccomp) {
  const auto quote = [](const std::string& text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  std::string text = R"({"ociVersion":)" + quote(context.spec["ociVersion"].String()) +
                     R"(,"fds":["seccompFd"])";
  const std::string metadata = seccomp["listenerMetadata"].String();
  if (!metadata.empty()) text += R"(,"metadata":)" + quote(metadata);
  return text + R"(,"pid":)";
}

void CompileSeccomp(CompileContext& context, const JsonCursor& seccomp) {
  if (!seccomp.exists()) return;
  SeccompCache no_cache(1);
  SeccompCache& cache = context.seccomp_cache != nullptr ? *context.seccomp_cache : no_cache;
  const auto program = cache.Get(*seccomp.value(), seccomp.pointer());
  if (!program.ok()) return seccomp.Adopt(program.status());
  if (!(*program)->unknown_syscalls.empty()) {
    std::string names;
    for (const std::string& name : (*program)->unknown_syscalls) absl::StrAppend(&names, " ", name);
    context.warnings.push_back(
        absl::StrCat(seccomp.pointer(), ": system calls unknown here were left out:", names));
  }
  if ((*program)->bpf.empty()) return;
  PlanWriter& writer = context.writer;
  const std::string listener = seccomp["listenerPath"].String();
  if (!(*program)->notifies) {
    writer.Add(Phase::kStart, Opcode::kLoadSeccomp, seccomp.pointer(), {(*program)->flags, 0},
               {writer.Text((*program)->bpf)});
    return;
  }
  if (listener.empty() || listener.front() != '/') {
    seccomp["listenerPath"].Invalid("must be absolute");
  }
  writer.Add(Phase::kStart, Opcode::kLoadSeccomp, seccomp.pointer(), {(*program)->flags, 1},
             {writer.Text((*program)->bpf), writer.Text(listener),
              writer.Text(ListenerMessage(context, seccomp))});
}

// Images count on it, and the specification says nothing: the runtimes before us set it.
bool LacksHome(const std::vector<std::string>& environment) {
  return std::none_of(environment.begin(), environment.end(),
                      [](const std::string& entry) { return entry.rfind("HOME=", 0) == 0; });
}

std::string SearchPath(const std::vector<std::string>& environment) {
  constexpr std::string_view kPath = "PATH=";
  for (const std::string& entry : environment) {
    if (entry.compare(0, kPath.size(), kPath) == 0) return entry.substr(kPath.size());
  }
  // What execvp(3) of the C library takes where there is no PATH.
  return "/bin:/usr/bin";
}

}  // namespace

void CompileProcessPrepare(CompileContext& context, const JsonCursor& process, bool joins) {
  const JsonCursor linux = context.spec["linux"];
  CompileOomScore(context, process, joins);
  CompileConsole(context, process, joins);
  CompileRlimits(context, process["rlimits"]);
  CompileScheduler(context, process["scheduler"]);
  CompileIoPriority(context, process["ioPriority"]);
  CompileAffinity(context, process["execCPUAffinity"], joins);
  CompilePersonality(context, linux["personality"]);
  CompileMemoryPolicy(context, linux["memoryPolicy"]);
}

void CompileProcessStart(CompileContext& context, const JsonCursor& process) {
  PlanWriter& writer = context.writer;
  const std::vector<std::string> arguments = process["args"].Strings();
  if (arguments.empty()) process["args"].Invalid("must name a program");
  const std::vector<std::string> environment = process["env"].Strings();
  const std::string directory = process["cwd"].String();
  if (directory.empty() || directory.front() != '/') process["cwd"].Invalid("must be absolute");

  const JsonCursor capabilities = process["capabilities"];
  const Capabilities sets = ReadCapabilities(context, capabilities);
  const JsonCursor no_new_privileges = process["noNewPrivileges"];
  const bool unprivileged = no_new_privileges.Bool();
  const JsonCursor seccomp = context.spec["linux"]["seccomp"];

  CompileLabels(context, process);
  writer.Add(Phase::kStart, Opcode::kBoundCapabilities, capabilities["bounding"].pointer(),
             {sets.bounding});
  CompileUser(context, process["user"]);
  writer.Add(Phase::kStart, Opcode::kChangeDirectory, process["cwd"].pointer(), {},
             {writer.Text(directory)});
  writer.Add(Phase::kStart, Opcode::kSetUmask, process["user"]["umask"].pointer(),
             {process["user"]["umask"].Unsigned(kDefaultUmask, 0777)});
  writer.Add(Phase::kStart, Opcode::kResetSignals, "");
  // Without no_new_privs a filter needs CAP_SYS_ADMIN, which goes with the capabilities; with it,
  // the filter comes as late as it can and sees nothing but the execve.
  if (!unprivileged) CompileSeccomp(context, seccomp);
  writer.Add(Phase::kStart, Opcode::kSetCapabilities, capabilities.pointer(),
             {sets.effective, sets.permitted, sets.inheritable, sets.ambient});
  if (unprivileged) {
    writer.Add(Phase::kStart, Opcode::kSetNoNewPrivileges, no_new_privileges.pointer());
    CompileSeccomp(context, seccomp);
  }
  writer.Add(
      Phase::kStart, Opcode::kExecute, process["args"].pointer(),
      {arguments.size(), environment.size(), LacksHome(environment) ? 1u : 0u,
       process["user"]["uid"].Unsigned(0, kMaxId)},
      {writer.List(arguments), writer.List(environment), writer.Text(SearchPath(environment))});
}

}  // namespace ocid
