#include "daemon/nri/nri_container.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "daemon/nri/nri_names.h"
#include "runtime/oci/json_pointer.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

// A value that may be absent or of any type. Readers give nothing where it is not what they want.
class Value {
 public:
  explicit Value(const Json* json) : json_(json) {}

  Value operator[](std::string_view name) const {
    return Value(json_ == nullptr ? nullptr : FindMember(*json_, name));
  }

  bool exists() const { return json_ != nullptr && !json_->is_null(); }

  std::string Text() const {
    return json_ != nullptr && json_->is_string() ? json_->get<std::string>() : std::string();
  }

  template <typename Number>
  std::optional<Number> Integer() const {
    if (json_ == nullptr || !json_->is_number_integer()) return std::nullopt;
    if (json_->is_number_unsigned()) {
      const auto number = json_->get<uint64_t>();
      if (!std::in_range<Number>(number)) return std::nullopt;
      return static_cast<Number>(number);
    }
    const auto number = json_->get<int64_t>();
    if (!std::in_range<Number>(number)) return std::nullopt;
    return static_cast<Number>(number);
  }

  std::optional<bool> Boolean() const {
    if (json_ == nullptr || !json_->is_boolean()) return std::nullopt;
    return json_->get<bool>();
  }

  std::vector<Value> Elements() const {
    std::vector<Value> elements;
    if (json_ == nullptr || !json_->is_array()) return elements;
    for (const Json& element : *json_) elements.emplace_back(&element);
    return elements;
  }

  std::vector<std::pair<std::string, Value>> Members() const {
    std::vector<std::pair<std::string, Value>> members;
    if (json_ == nullptr || !json_->is_object()) return members;
    for (const auto& [name, value] : json_->get_ref<const Json::object_t&>()) {
      members.emplace_back(name, &value);
    }
    return members;
  }

  template <typename Field>
  void CopyTexts(Field* field) const {
    for (std::string& text : StringsOf(json_)) *field->Add() = std::move(text);
  }

  template <typename Map>
  void CopyTextMap(Map* map) const {
    for (const auto& [name, value] : Members()) {
      if (value.json_->is_string()) (*map)[name] = value.Text();
    }
  }

 private:
  const Json* json_;
};

// For the wrapper messages, whose presence says that there is a value.
template <typename Number, typename Make>
void CopyInteger(Value value, Make make) {
  if (const std::optional<Number> number = value.Integer<Number>()) make()->set_value(*number);
}
template <typename Make>
void CopyBoolean(Value value, Make make) {
  if (const std::optional<bool> flag = value.Boolean()) make()->set_value(*flag);
}

// Values that the API does not have become its first, which stands for nothing.
template <typename Enum>
Enum EnumOf(Value value, bool (*parse)(google::protobuf::ConstStringParam, Enum*)) {
  Enum result = static_cast<Enum>(0);
  parse(NriEnumName(value.Text()), &result);
  return result;
}

void CopyHooks(Value list, google::protobuf::RepeatedPtrField<nri::Hook>* hooks) {
  for (const Value& value : list.Elements()) {
    nri::Hook* const hook = hooks->Add();
    hook->set_path(value["path"].Text());
    value["args"].CopyTexts(hook->mutable_args());
    value["env"].CopyTexts(hook->mutable_env());
    CopyInteger<int64_t>(value["timeout"], [&] { return hook->mutable_timeout(); });
  }
}

void CopyNamespaces(Value list, google::protobuf::RepeatedPtrField<nri::LinuxNamespace>* out) {
  for (const Value& value : list.Elements()) {
    nri::LinuxNamespace* const entry = out->Add();
    entry->set_type(value["type"].Text());
    entry->set_path(value["path"].Text());
  }
}

void CopyDevices(Value list, nri::LinuxContainer* linux) {
  for (const Value& value : list.Elements()) {
    nri::LinuxDevice* const device = linux->add_devices();
    device->set_path(value["path"].Text());
    device->set_type(value["type"].Text());
    device->set_major(value["major"].Integer<int64_t>().value_or(0));
    device->set_minor(value["minor"].Integer<int64_t>().value_or(0));
    CopyInteger<uint32_t>(value["fileMode"], [&] { return device->mutable_file_mode(); });
    CopyInteger<uint32_t>(value["uid"], [&] { return device->mutable_uid(); });
    CopyInteger<uint32_t>(value["gid"], [&] { return device->mutable_gid(); });
  }
}

void CopySeccomp(Value value, nri::LinuxSeccomp* seccomp) {
  seccomp->set_default_action(value["defaultAction"].Text());
  CopyInteger<uint32_t>(value["defaultErrnoRet"], [&] { return seccomp->mutable_default_errno(); });
  value["architectures"].CopyTexts(seccomp->mutable_architectures());
  value["flags"].CopyTexts(seccomp->mutable_flags());
  seccomp->set_listener_path(value["listenerPath"].Text());
  seccomp->set_listener_metadata(value["listenerMetadata"].Text());
  for (const Value& rule : value["syscalls"].Elements()) {
    nri::LinuxSyscall* const syscall = seccomp->add_syscalls();
    rule["names"].CopyTexts(syscall->mutable_names());
    syscall->set_action(rule["action"].Text());
    CopyInteger<uint32_t>(rule["errnoRet"], [&] { return syscall->mutable_errno_ret(); });
    for (const Value& condition : rule["args"].Elements()) {
      nri::LinuxSeccompArg* const arg = syscall->add_args();
      arg->set_index(condition["index"].Integer<uint32_t>().value_or(0));
      arg->set_value(condition["value"].Integer<uint64_t>().value_or(0));
      arg->set_value_two(condition["valueTwo"].Integer<uint64_t>().value_or(0));
      arg->set_op(condition["op"].Text());
    }
  }
}

void CopyScheduler(Value value, nri::LinuxScheduler* scheduler) {
  scheduler->set_policy(EnumOf(value["policy"], nri::LinuxSchedulerPolicy_Parse));
  scheduler->set_nice(value["nice"].Integer<int32_t>().value_or(0));
  scheduler->set_priority(value["priority"].Integer<int32_t>().value_or(0));
  for (const Value& name : value["flags"].Elements()) {
    nri::LinuxSchedulerFlag flag;
    if (nri::LinuxSchedulerFlag_Parse(NriEnumName(name.Text()), &flag)) scheduler->add_flags(flag);
  }
  scheduler->set_runtime(value["runtime"].Integer<uint64_t>().value_or(0));
  scheduler->set_deadline(value["deadline"].Integer<uint64_t>().value_or(0));
  scheduler->set_period(value["period"].Integer<uint64_t>().value_or(0));
}

void CopyRdt(Value value, nri::LinuxRdt* rdt) {
  if (value["closID"].exists()) rdt->mutable_clos_id()->set_value(value["closID"].Text());
  if (value["schemata"].exists()) {
    value["schemata"].CopyTexts(rdt->mutable_schemata()->mutable_value());
  }
  CopyBoolean(value["enableMonitoring"], [&] { return rdt->mutable_enable_monitoring(); });
}

nri::LinuxResources ToResources(Value value) {
  nri::LinuxResources resources;
  const Value memory = value["memory"];
  nri::LinuxMemory* const mem = resources.mutable_memory();
  CopyInteger<int64_t>(memory["limit"], [&] { return mem->mutable_limit(); });
  CopyInteger<int64_t>(memory["reservation"], [&] { return mem->mutable_reservation(); });
  CopyInteger<int64_t>(memory["swap"], [&] { return mem->mutable_swap(); });
  CopyInteger<int64_t>(memory["kernel"], [&] { return mem->mutable_kernel(); });
  CopyInteger<int64_t>(memory["kernelTCP"], [&] { return mem->mutable_kernel_tcp(); });
  CopyInteger<uint64_t>(memory["swappiness"], [&] { return mem->mutable_swappiness(); });
  CopyBoolean(memory["disableOOMKiller"], [&] { return mem->mutable_disable_oom_killer(); });
  CopyBoolean(memory["useHierarchy"], [&] { return mem->mutable_use_hierarchy(); });

  const Value cpu = value["cpu"];
  nri::LinuxCPU* const out = resources.mutable_cpu();
  CopyInteger<uint64_t>(cpu["shares"], [&] { return out->mutable_shares(); });
  CopyInteger<int64_t>(cpu["quota"], [&] { return out->mutable_quota(); });
  CopyInteger<uint64_t>(cpu["period"], [&] { return out->mutable_period(); });
  CopyInteger<int64_t>(cpu["realtimeRuntime"], [&] { return out->mutable_realtime_runtime(); });
  CopyInteger<uint64_t>(cpu["realtimePeriod"], [&] { return out->mutable_realtime_period(); });
  out->set_cpus(cpu["cpus"].Text());
  out->set_mems(cpu["mems"].Text());

  for (const Value& entry : value["hugepageLimits"].Elements()) {
    nri::HugepageLimit* const limit = resources.add_hugepage_limits();
    limit->set_page_size(entry["pageSize"].Text());
    limit->set_limit(entry["limit"].Integer<uint64_t>().value_or(0));
  }
  value["unified"].CopyTextMap(resources.mutable_unified());
  for (const Value& entry : value["devices"].Elements()) {
    nri::LinuxDeviceCgroup* const rule = resources.add_devices();
    rule->set_allow(entry["allow"].Boolean().value_or(false));
    rule->set_type(entry["type"].Text());
    CopyInteger<int64_t>(entry["major"], [&] { return rule->mutable_major(); });
    CopyInteger<int64_t>(entry["minor"], [&] { return rule->mutable_minor(); });
    rule->set_access(entry["access"].Text());
  }
  if (const std::optional<int64_t> limit = value["pids"]["limit"].Integer<int64_t>()) {
    resources.mutable_pids()->set_limit(*limit);
  }
  return resources;
}

void CopyLinux(Value spec, bool from_image, nri::LinuxContainer* out) {
  const Value process = spec["process"];
  const Value linux_member = spec["linux"];
  CopyNamespaces(linux_member["namespaces"], out->mutable_namespaces());
  CopyDevices(linux_member["devices"], out);
  *out->mutable_resources() = ToResources(linux_member["resources"]);
  CopyInteger<int64_t>(process["oomScoreAdj"], [&] { return out->mutable_oom_score_adj(); });
  out->set_cgroups_path(linux_member["cgroupsPath"].Text());
  if (const Value priority = process["ioPriority"]; priority.exists()) {
    out->mutable_io_priority()->set_class_(EnumOf(priority["class"], nri::IOPrioClass_Parse));
    out->mutable_io_priority()->set_priority(priority["priority"].Integer<int32_t>().value_or(0));
  }
  if (const Value seccomp = linux_member["seccomp"]; seccomp.exists()) {
    // A bundle brings its own profile; the one of a container from an image is the daemon's.
    out->mutable_seccomp_profile()->set_profile_type(
        from_image ? nri::SecurityProfile::RUNTIME_DEFAULT : nri::SecurityProfile::LOCALHOST);
    CopySeccomp(seccomp, out->mutable_seccomp_policy());
  }
  linux_member["sysctl"].CopyTextMap(out->mutable_sysctl());
  for (const auto& [name, device] : linux_member["netDevices"].Members()) {
    (*out->mutable_net_devices())[name].set_name(device["name"].Text());
  }
  if (const Value scheduler = process["scheduler"]; scheduler.exists()) {
    CopyScheduler(scheduler, out->mutable_scheduler());
  }
  if (const Value rdt = linux_member["intelRdt"]; rdt.exists()) CopyRdt(rdt, out->mutable_rdt());
}

}  // namespace

nri::LinuxResources DescribeResources(const Json& resources) {
  return ToResources(Value(&resources));
}

nri::Container DescribeContainer(const OciSpec& spec, const PluginSubject& subject,
                                 const std::vector<std::string>& cdi_devices) {
  const Value document(&spec.json());
  const Value process = document["process"];
  nri::Container container;
  container.set_id(subject.container_id);
  container.set_pod_sandbox_id(subject.container_id);
  container.set_name(subject.container_name);
  container.mutable_labels()->insert(subject.labels.begin(), subject.labels.end());
  document["annotations"].CopyTextMap(container.mutable_annotations());
  process["args"].CopyTexts(container.mutable_args());
  process["env"].CopyTexts(container.mutable_env());
  for (const Value& value : document["mounts"].Elements()) {
    nri::Mount* const mount = container.add_mounts();
    mount->set_destination(value["destination"].Text());
    mount->set_type(value["type"].Text());
    mount->set_source(value["source"].Text());
    value["options"].CopyTexts(mount->mutable_options());
  }
  nri::Hooks* const hooks = container.mutable_hooks();
  CopyHooks(document["hooks"]["prestart"], hooks->mutable_prestart());
  CopyHooks(document["hooks"]["createRuntime"], hooks->mutable_create_runtime());
  CopyHooks(document["hooks"]["createContainer"], hooks->mutable_create_container());
  CopyHooks(document["hooks"]["startContainer"], hooks->mutable_start_container());
  CopyHooks(document["hooks"]["poststart"], hooks->mutable_poststart());
  CopyHooks(document["hooks"]["poststop"], hooks->mutable_poststop());
  CopyLinux(document, !subject.image_name.empty(), container.mutable_linux());
  for (const Value& value : process["rlimits"].Elements()) {
    nri::POSIXRlimit* const rlimit = container.add_rlimits();
    rlimit->set_type(value["type"].Text());
    rlimit->set_hard(value["hard"].Integer<uint64_t>().value_or(0));
    rlimit->set_soft(value["soft"].Integer<uint64_t>().value_or(0));
  }
  for (const std::string& name : cdi_devices) container.add_cdi_devices()->set_name(name);
  const OciUser user = spec.User();
  container.mutable_user()->set_uid(user.uid);
  container.mutable_user()->set_gid(user.gid);
  container.mutable_user()->mutable_additional_gids()->Add(user.additional_gids.begin(),
                                                           user.additional_gids.end());
  if (!subject.image_name.empty()) {
    nri::Image* const image = container.mutable_image();
    image->set_name(subject.image_name);
    image->set_digest(subject.image_digest);
    image->set_config_digest(subject.image_config_digest);
  }
  return container;
}

nri::PodSandbox DescribePod(const OciSpec& spec, const PluginSubject& subject) {
  const Value linux_member = Value(&spec.json())["linux"];
  nri::PodSandbox pod;
  pod.set_id(subject.container_id);
  pod.set_name(subject.container_name);
  pod.set_uid(subject.container_id);
  pod.set_namespace_(std::string(kNriPodNamespace));
  pod.mutable_labels()->insert(subject.labels.begin(), subject.labels.end());
  Value(&spec.json())["annotations"].CopyTextMap(pod.mutable_annotations());
  pod.set_runtime_handler("ocid");
  nri::LinuxPodSandbox* const linux_pod = pod.mutable_linux();
  linux_pod->mutable_pod_overhead();
  linux_pod->mutable_pod_resources();
  const std::string path = linux_member["cgroupsPath"].Text();
  linux_pod->set_cgroups_path(path);
  const size_t slash = path.rfind('/');
  if (slash != path.npos) linux_pod->set_cgroup_parent(path.substr(0, slash));
  CopyNamespaces(linux_member["namespaces"], linux_pod->mutable_namespaces());
  *linux_pod->mutable_resources() = ToResources(linux_member["resources"]);
  // Who is to look at a network namespace must find it. One of a user namespace's is made in that.
  auto& namespaces = *linux_pod->mutable_namespaces();
  const bool has_user = std::any_of(
      namespaces.begin(), namespaces.end(),
      [](const nri::LinuxNamespace& entry) { return entry.type() == "user"; });
  for (nri::LinuxNamespace& entry : namespaces) {
    if (entry.type() == "network" && entry.path().empty() && !has_user) {
      entry.set_path(subject.network_path);
    }
  }
  namespaces.erase(std::remove_if(namespaces.begin(), namespaces.end(),
                                  [](const nri::LinuxNamespace& entry) {
                                    return entry.type() == "network" && entry.path().empty();
                                  }),
                   namespaces.end());
  return pod;
}

}  // namespace ocid
