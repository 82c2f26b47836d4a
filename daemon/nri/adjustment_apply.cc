#include "daemon/nri/adjustment_apply.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/nri/nri_names.h"
#include "runtime/base/error_details.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/spec_edit.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kResources = "/linux/resources";

// The first error ends it; what is ignored goes on the list.
class Application {
 public:
  Application(const AdjustmentHost& host, Json& document, std::vector<NriIgnoredEdit>& ignored)
      : host_(host), document_(document), ignored_(ignored) {}

  absl::Status Run(const nri::ContainerAdjustment& adjustment) {
    Annotations(adjustment);
    Env(adjustment);
    Args(adjustment);
    Hooks(adjustment.hooks());
    const nri::LinuxContainerAdjustment& linux_part = adjustment.linux();
    Devices(linux_part);
    Process(linux_part);
    if (linux_part.has_seccomp_policy()) Seccomp(linux_part.seccomp_policy());
    Namespaces(linux_part);
    Sysctl(linux_part);
    NetDevices(linux_part);
    if (linux_part.has_memory_policy()) MemoryPolicy(linux_part.memory_policy());
    if (linux_part.has_resources()) Resources(linux_part.resources());
    if (linux_part.has_rdt()) Rdt(linux_part.rdt());
    Mounts(adjustment);
    Rlimits(adjustment);
    return status_;
  }

 private:
  void Check(absl::Status status) { status_.Update(std::move(status)); }
  void Fail(const std::string& message) { Check(absl::InvalidArgumentError(message)); }
  void Ignore(std::string pointer, const Json& requested, std::string reason) {
    ignored_.push_back({std::move(pointer), requested.dump(), std::move(reason)});
  }

  // A member of `path`, or null after an error.
  Json* Object(std::initializer_list<std::string_view> path) {
    const absl::StatusOr<Json*> object = EnsureObject(path, document_);
    Check(object.status());
    return object.ok() ? *object : nullptr;
  }
  void Set(std::initializer_list<std::string_view> path, const char* name, Json value) {
    if (Json* const object = Object(path)) (*object)[name] = std::move(value);
  }
  void Erase(std::string_view parent, const char* name) {
    Json* const object = ResolvePointer(document_, parent);
    if (object != nullptr && object->is_object()) object->erase(name);
  }

  void Annotations(const nri::ContainerAdjustment& adjustment) {
    for (const auto& [name, value] : adjustment.annotations()) {
      if (IsRemoval(name)) Erase("/annotations", UnmarkedName(name).c_str());
    }
    for (const auto& [name, value] : adjustment.annotations()) {
      if (IsRemoval(name)) continue;
      if (name.empty()) {
        Ignore("/annotations", value, "an annotation must have a name");
        continue;
      }
      Check(SetAnnotation(name, value, document_));
    }
  }

  void Env(const nri::ContainerAdjustment& adjustment) {
    for (const nri::KeyValue& entry : adjustment.env()) {
      if (IsRemoval(entry.key())) RemoveEnv(UnmarkedName(entry.key()), document_);
    }
    for (const nri::KeyValue& entry : adjustment.env()) {
      if (IsRemoval(entry.key())) continue;
      if (entry.key().empty() || entry.key().find('=') != std::string::npos) {
        Ignore("/process/env", entry.key(), "this cannot be the name of a variable");
        continue;
      }
      Check(SetEnv(entry.key(), entry.value(), document_));
    }
  }

  void Args(const nri::ContainerAdjustment& adjustment) {
    Json args = Json::array();
    for (int i = 0; i < adjustment.args_size(); ++i) {
      // The first, where it is empty, says that another plugin's arguments are overridden.
      if (i > 0 || !adjustment.args(i).empty()) args.push_back(adjustment.args(i));
    }
    if (!args.empty()) Set({"process"}, "args", std::move(args));
  }

  void Hooks(const nri::Hooks& hooks) {
    AddHooks("prestart", hooks.prestart());
    AddHooks("createRuntime", hooks.create_runtime());
    AddHooks("createContainer", hooks.create_container());
    AddHooks("startContainer", hooks.start_container());
    AddHooks("poststart", hooks.poststart());
    AddHooks("poststop", hooks.poststop());
  }

  void AddHooks(const char* when, const google::protobuf::RepeatedPtrField<nri::Hook>& hooks) {
    for (const nri::Hook& hook : hooks) {
      Json object = {{"path", hook.path()}};
      if (hook.args_size() > 0)
        object["args"] = Json(Json::array_t(hook.args().begin(), hook.args().end()));
      if (hook.env_size() > 0)
        object["env"] = Json(Json::array_t(hook.env().begin(), hook.env().end()));
      if (hook.has_timeout() && hook.timeout().value() > 0) {
        object["timeout"] = hook.timeout().value();
      } else if (hook.has_timeout()) {
        Ignore(absl::StrCat("/hooks/", when), hook.timeout().value(),
               absl::StrCat("hook ", hook.path(), ": a timeout must be above 0"));
      }
      Check(AddHook(when, std::move(object), document_));
    }
  }

  void Devices(const nri::LinuxContainerAdjustment& linux_part) {
    for (const nri::LinuxDevice& device : linux_part.devices()) {
      if (!IsRemoval(device.path())) continue;
      RemoveByMember({"linux", "devices"}, "path", UnmarkedName(device.path()), document_);
    }
    for (const nri::LinuxDevice& device : linux_part.devices()) {
      if (!IsRemoval(device.path())) AddDevice(device);
    }
  }

  void AddDevice(const nri::LinuxDevice& device) {
    const bool is_node = device.type() != "p";
    Json object = {{"path", device.path()}, {"type", device.type()}};
    if (is_node) {
      object["major"] = device.major();
      object["minor"] = device.minor();
    }
    if (device.has_file_mode()) object["fileMode"] = device.file_mode().value();
    if (device.has_uid()) object["uid"] = device.uid().value();
    if (device.has_gid()) object["gid"] = device.gid().value();
    Check(PutByMember({"linux", "devices"}, "path", std::move(object), document_));
    if (!is_node) return;
    AddDeviceRule({{"allow", true},
                   {"type", device.type() == "b" ? "b" : "c"},
                   {"major", device.major()},
                   {"minor", device.minor()},
                   {"access", device.type() == "b" ? "rwm" : "rw"}});
  }

  void AddDeviceRule(Json rule) {
    const absl::StatusOr<Json*> rules = EnsureArray({"linux", "resources", "devices"}, document_);
    Check(rules.status());
    if (rules.ok()) (*rules)->push_back(std::move(rule));
  }

  void Process(const nri::LinuxContainerAdjustment& linux_part) {
    if (!linux_part.cgroups_path().empty()) {
      Set({"linux"}, "cgroupsPath", linux_part.cgroups_path());
    }
    if (linux_part.has_oom_score_adj()) {
      Set({"process"}, "oomScoreAdj", linux_part.oom_score_adj().value());
    }
    if (linux_part.has_io_priority()) {
      const nri::LinuxIOPriority& priority = linux_part.io_priority();
      if (priority.class_() == nri::NRI_IOPRIO_CLASS_NONE) {
        Erase("/process", "ioPriority");
      } else {
        Set({"process"}, "ioPriority",
            {{"class", OciEnumName(nri::IOPrioClass_Name(priority.class_()))},
             {"priority", priority.priority()}});
      }
    }
    if (linux_part.has_scheduler()) Scheduler(linux_part.scheduler());
  }

  void Scheduler(const nri::LinuxScheduler& scheduler) {
    if (scheduler.policy() == nri::NRI_SCHED_NONE) return Erase("/process", "scheduler");
    Json object = {{"policy", OciEnumName(nri::LinuxSchedulerPolicy_Name(scheduler.policy()))}};
    if (scheduler.nice() != 0) object["nice"] = scheduler.nice();
    if (scheduler.priority() != 0) object["priority"] = scheduler.priority();
    for (const int flag : scheduler.flags()) {
      object["flags"].push_back(
          OciEnumName(nri::LinuxSchedulerFlag_Name(static_cast<nri::LinuxSchedulerFlag>(flag))));
    }
    if (scheduler.runtime() != 0) object["runtime"] = scheduler.runtime();
    if (scheduler.deadline() != 0) object["deadline"] = scheduler.deadline();
    if (scheduler.period() != 0) object["period"] = scheduler.period();
    Set({"process"}, "scheduler", std::move(object));
  }

  void Seccomp(const nri::LinuxSeccomp& policy) {
    Json object = {{"defaultAction", policy.default_action()}};
    if (policy.has_default_errno()) object["defaultErrnoRet"] = policy.default_errno().value();
    for (const std::string& name : policy.architectures()) object["architectures"].push_back(name);
    for (const std::string& name : policy.flags()) object["flags"].push_back(name);
    if (!policy.listener_path().empty()) object["listenerPath"] = policy.listener_path();
    if (!policy.listener_metadata().empty()) {
      object["listenerMetadata"] = policy.listener_metadata();
    }
    for (const nri::LinuxSyscall& syscall : policy.syscalls()) {
      Json rule = {{"names", Json::array()}, {"action", syscall.action()}};
      for (const std::string& name : syscall.names()) rule["names"].push_back(name);
      if (syscall.has_errno_ret()) rule["errnoRet"] = syscall.errno_ret().value();
      for (const nri::LinuxSeccompArg& arg : syscall.args()) {
        Json condition = {{"index", arg.index()}, {"value", arg.value()}, {"op", arg.op()}};
        if (arg.value_two() != 0) condition["valueTwo"] = arg.value_two();
        rule["args"].push_back(std::move(condition));
      }
      object["syscalls"].push_back(std::move(rule));
    }
    Set({"linux"}, "seccomp", std::move(object));
  }

  void Namespaces(const nri::LinuxContainerAdjustment& linux_part) {
    constexpr std::array<std::string_view, 8> kTypes = {"network", "pid",  "mount",  "ipc",
                                                        "uts",     "user", "cgroup", "time"};
    for (const nri::LinuxNamespace& entry : linux_part.namespaces()) {
      const std::string type = UnmarkedName(entry.type());
      if (std::find(kTypes.begin(), kTypes.end(), type) == kTypes.end()) {
        return Fail(absl::StrCat("unknown namespace type \"", type, "\""));
      }
      if (IsRemoval(entry.type())) {
        RemoveByMember({"linux", "namespaces"}, "type", type, document_);
        continue;
      }
      Json object = {{"type", type}};
      if (!entry.path().empty()) object["path"] = entry.path();
      Check(PutByMember({"linux", "namespaces"}, "type", std::move(object), document_));
    }
  }

  void Sysctl(const nri::LinuxContainerAdjustment& linux_part) {
    for (const auto& [name, value] : linux_part.sysctl()) {
      if (IsRemoval(name)) Erase("/linux/sysctl", UnmarkedName(name).c_str());
    }
    for (const auto& [name, value] : linux_part.sysctl()) {
      if (!IsRemoval(name)) Set({"linux", "sysctl"}, name.c_str(), value);
    }
  }

  void NetDevices(const nri::LinuxContainerAdjustment& linux_part) {
    for (const auto& [name, device] : linux_part.net_devices()) {
      if (IsRemoval(name)) Erase("/linux/netDevices", UnmarkedName(name).c_str());
    }
    for (const auto& [name, device] : linux_part.net_devices()) {
      if (IsRemoval(name)) continue;
      Json object = Json::object();
      if (!device.name().empty()) object["name"] = device.name();
      Set({"linux", "netDevices"}, name.c_str(), std::move(object));
    }
  }

  void MemoryPolicy(const nri::LinuxMemoryPolicy& policy) {
    Json object = {{"mode", OciEnumName(nri::MpolMode_Name(policy.mode()))}};
    if (!policy.nodes().empty()) object["nodes"] = policy.nodes();
    for (const int flag : policy.flags()) {
      object["flags"].push_back(OciEnumName(nri::MpolFlag_Name(static_cast<nri::MpolFlag>(flag))));
    }
    Set({"linux"}, "memoryPolicy", std::move(object));
  }

  void Rdt(const nri::LinuxRdt& rdt) {
    if (rdt.remove()) Erase("/linux", "intelRdt");
    const auto set = [&](const char* name, Json value) {
      if (host_.no_intel_rdt.empty()) {
        Set({"linux", "intelRdt"}, name, std::move(value));
      } else {
        Ignore(absl::StrCat("/linux/intelRdt/", name), value, host_.no_intel_rdt);
      }
    };
    if (rdt.has_clos_id()) set("closID", rdt.clos_id().value());
    if (rdt.has_schemata()) {
      const auto& lines = rdt.schemata().value();
      set("schemata", Json::array_t(lines.begin(), lines.end()));
    }
    if (rdt.has_enable_monitoring()) {
      set("enableMonitoring", rdt.enable_monitoring().value());
    }
  }

  void Resources(const nri::LinuxResources& resources) {
    Json* const target = Object({"linux", "resources"});
    if (target == nullptr) return;
    if (resources.has_blockio_class() && resources.blockio_class().value().empty()) {
      target->erase("blockIO");
    }
    if (resources.has_rdt_class() && resources.rdt_class().value().empty()) {
      Erase("/linux", "intelRdt");
    }
    const Json before = *target;
    const Json wanted = ToOciResources(resources, ignored_);
    for (const auto& [name, value] : wanted.items()) {
      if (name == "hugepageLimits") {
        for (const Json& limit : value) {
          Check(
              PutByMember({"linux", "resources", "hugepageLimits"}, "pageSize", limit, document_));
        }
      } else if (name == "devices") {
        for (const Json& rule : value) AddDeviceRule(rule);
      } else if (Json* const member = Object({"linux", "resources", name})) {
        member->update(value);
      }
    }
    const bool swap_follows = wanted.contains("memory") && wanted["memory"].contains("limit") &&
                              !wanted["memory"].contains("swap");
    if (swap_follows) Set({"linux", "resources", "memory"}, "swap", wanted["memory"]["limit"]);
    if (status_.ok() && host_.check_resources) LeaveOutWhatCannotBe(wanted, before, swap_follows);
  }

  // What the host cannot enforce becomes again what it was, if it is what this adjustment set. The
  // host may tell one thing at a time.
  void LeaveOutWhatCannotBe(const Json& wanted, const Json& before, bool swap_follows) {
    bool again = true;
    while (again) {
      again = false;
      const absl::Status checked = host_.check_resources(document_["linux"]["resources"]);
      for (const FieldViolation& violation : GetFieldViolations(checked)) {
        if (!violation.field.starts_with(kResources)) continue;
        const std::string within = violation.field.substr(kResources.size());
        if (!restored_.insert(within).second) continue;
        const Json* const requested = ResolvePointer(wanted, within);
        const bool implied = swap_follows && within == "/memory/swap";  // nobody asked for it
        if (requested == nullptr && !implied) continue;
        if (!implied) Ignore(violation.field, *requested, violation.description);
        Restore(within, before);
        again = true;
      }
    }
  }

  void Restore(const std::string& within, const Json& before) {
    const size_t slash = within.rfind('/');
    const std::string parent = absl::StrCat(kResources.data(), within.substr(0, slash));
    Json* const object = ResolvePointer(document_, parent);
    if (object == nullptr || !object->is_object()) return;
    const absl::StatusOr<std::vector<std::string>> tokens = SplitPointer(within);
    if (!tokens.ok() || tokens->empty()) return;
    const Json* const old = ResolvePointer(before, within);
    if (old == nullptr) {
      object->erase(tokens->back());
      // Nor is a group left that has nothing in it.
      const bool was_there = ResolvePointer(before, within.substr(0, slash)) != nullptr;
      if (object->empty() && !was_there) Erase(kResources, tokens->front().c_str());
    } else {
      (*object)[tokens->back()] = *old;
    }
  }

  void Mounts(const nri::ContainerAdjustment& adjustment) {
    if (adjustment.mounts_size() == 0) return;
    for (const nri::Mount& mount : adjustment.mounts()) {
      if (IsRemoval(mount.destination())) RemoveMount(UnmarkedName(mount.destination()), document_);
    }
    for (const nri::Mount& mount : adjustment.mounts()) {
      if (IsRemoval(mount.destination())) continue;
      Propagate(mount);
      Json object = {{"destination", mount.destination()}, {"source", mount.source()}};
      if (!mount.type().empty()) object["type"] = mount.type();
      for (const std::string& option : mount.options()) object["options"].push_back(option);
      Check(PutMount(std::move(object), document_));
    }
    SortMounts(document_);
  }

  // A mount that is to get what is mounted later on the host needs a source that passes it on, and
  // a root that lets it through.
  void Propagate(const nri::Mount& mount) {
    bool shared = false;
    bool slave = false;
    for (const std::string& option : mount.options()) {
      shared = shared || option == "rshared";
      slave = slave || option == "rslave";
    }
    if (!shared && !slave) return;
    if (host_.propagation) {
      const std::string source = host_.propagation(mount.source());
      if (source != "shared" && (shared || source != "slave")) {
        return Fail(absl::StrCat("mount ", mount.destination(), ": its source ", mount.source(),
                                 " is on a mount that is ", source, ", and ",
                                 shared ? "rshared" : "rslave", " needs a shared one"));
      }
    }
    const Json* const root = ResolvePointer(document_, "/linux/rootfsPropagation");
    const bool passes = root != nullptr && (*root == "rshared" || *root == "shared" ||
                                            (!shared && (*root == "rslave" || *root == "slave")));
    if (!passes) Set({"linux"}, "rootfsPropagation", shared ? "rshared" : "rslave");
  }

  void Rlimits(const nri::ContainerAdjustment& adjustment) {
    for (const nri::POSIXRlimit& rlimit : adjustment.rlimits()) {
      Check(PutByMember({"process", "rlimits"}, "type",
                        {{"type", rlimit.type()}, {"hard", rlimit.hard()}, {"soft", rlimit.soft()}},
                        document_));
    }
  }

  const AdjustmentHost& host_;
  Json& document_;
  std::vector<NriIgnoredEdit>& ignored_;
  absl::Status status_;
  std::set<std::string> restored_;  // of linux.resources
};

Json MemoryJson(const nri::LinuxMemory& memory, std::vector<NriIgnoredEdit>& ignored) {
  Json out = Json::object();
  const auto set = [&](const char* name, bool present, int64_t value) {
    if (!present) return;
    if (value != 0) {
      out[name] = value;
    } else {
      ignored.push_back(
          {absl::StrCat("/linux/resources/memory/", name), "0", "0 stands for no change"});
    }
  };
  set("limit", memory.has_limit(), memory.limit().value());
  set("reservation", memory.has_reservation(), memory.reservation().value());
  set("swap", memory.has_swap(), memory.swap().value());
  set("kernel", memory.has_kernel(), memory.kernel().value());
  set("kernelTCP", memory.has_kernel_tcp(), memory.kernel_tcp().value());
  if (memory.has_swappiness()) out["swappiness"] = memory.swappiness().value();
  if (memory.has_disable_oom_killer()) {
    out["disableOOMKiller"] = memory.disable_oom_killer().value();
  }
  if (memory.has_use_hierarchy()) out["useHierarchy"] = memory.use_hierarchy().value();
  return out;
}

Json CpuJson(const nri::LinuxCPU& cpu) {
  Json out = Json::object();
  if (cpu.has_shares()) out["shares"] = cpu.shares().value();
  if (cpu.has_quota()) out["quota"] = cpu.quota().value();
  if (cpu.has_period()) out["period"] = cpu.period().value();
  if (cpu.has_realtime_runtime()) out["realtimeRuntime"] = cpu.realtime_runtime().value();
  if (cpu.has_realtime_period()) out["realtimePeriod"] = cpu.realtime_period().value();
  if (!cpu.cpus().empty()) out["cpus"] = cpu.cpus();
  if (!cpu.mems().empty()) out["mems"] = cpu.mems();
  return out;
}

}  // namespace

absl::Status ApplyAdjustment(const nri::ContainerAdjustment& adjustment, const AdjustmentHost& host,
                             Json& document, std::vector<NriIgnoredEdit>& ignored) {
  return Application(host, document, ignored).Run(adjustment);
}

Json ToOciResources(const nri::LinuxResources& resources, std::vector<NriIgnoredEdit>& ignored) {
  Json out = Json::object();
  Json memory = MemoryJson(resources.memory(), ignored);
  if (!memory.empty()) out["memory"] = std::move(memory);
  Json cpu = CpuJson(resources.cpu());
  if (!cpu.empty()) out["cpu"] = std::move(cpu);
  if (resources.has_pids()) out["pids"] = {{"limit", resources.pids().limit()}};
  for (const nri::HugepageLimit& limit : resources.hugepage_limits()) {
    out["hugepageLimits"].push_back({{"pageSize", limit.page_size()}, {"limit", limit.limit()}});
  }
  for (const auto& [file, value] : resources.unified()) out["unified"][file] = value;
  for (const nri::LinuxDeviceCgroup& device : resources.devices()) {
    Json rule = {{"allow", device.allow()}};
    if (!device.type().empty()) rule["type"] = device.type();
    if (device.has_major()) rule["major"] = device.major().value();
    if (device.has_minor()) rule["minor"] = device.minor().value();
    if (!device.access().empty()) rule["access"] = device.access();
    out["devices"].push_back(std::move(rule));
  }
  const auto no_class = [&](const char* pointer, const char* kind, const std::string& name) {
    if (name.empty()) return;
    ignored.push_back({pointer, Json(name).dump(),
                       absl::StrCat("there is no ", kind, " class \"", name,
                                    "\": this daemon has no such classes")});
  };
  if (resources.has_blockio_class()) {
    no_class("/linux/resources/blockIO", "block I/O", resources.blockio_class().value());
  }
  if (resources.has_rdt_class()) {
    no_class("/linux/intelRdt", "RDT", resources.rdt_class().value());
  }
  return out;
}

std::string PropagationOf(std::string_view mountinfo, const std::string& path) {
  const std::string cleaned = CleanPath(path);
  std::string_view best;
  std::string result = "private";
  for (const absl::string_view line :
       absl::StrSplit(absl::string_view(mountinfo.data(), mountinfo.size()), '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    if (fields.size() < 7) continue;
    const std::string_view mount_point(fields[4].data(), fields[4].size());
    const bool within = mount_point == "/" || cleaned == mount_point ||
                        (cleaned.starts_with(mount_point) && cleaned[mount_point.size()] == '/');
    // Of two at one place the later one is on top.
    if (!within || mount_point.size() < best.size()) continue;
    best = mount_point;
    result = "private";
    for (size_t i = 6; i < fields.size() && fields[i] != "-"; ++i) {
      if (fields[i].substr(0, 7) == "shared:") result = "shared";
      if (fields[i].substr(0, 7) == "master:" && result != "shared") result = "slave";
    }
  }
  return result;
}

}  // namespace ocid
