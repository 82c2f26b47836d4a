#include "daemon/nri/adjustment_policy.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/json_util.h"

namespace ocid {
namespace {

// A part of a message that a policy can name.
template <typename Message>
struct Part {
  nri::Field field;
  const char* pointer;  // where it goes in the spec
  bool (*present)(const Message&);
  void (*clear)(Message*);
};

#define OCID_WRAPPED(FIELD, POINTER, OWNER, NAME)                                            \
  {                                                                                          \
    nri::FIELD, POINTER,                                                                     \
        [](const nri::LinuxResources& resources) { return resources.OWNER().has_##NAME(); }, \
        [](nri::LinuxResources* resources) { resources->mutable_##OWNER()->clear_##NAME(); } \
  }

constexpr char kRdtPointer[] = "/linux/intelRdt";

const Part<nri::LinuxResources> kResourceParts[] = {
    OCID_WRAPPED(MemLimit, "/linux/resources/memory/limit", memory, limit),
    OCID_WRAPPED(MemReservation, "/linux/resources/memory/reservation", memory, reservation),
    OCID_WRAPPED(MemSwapLimit, "/linux/resources/memory/swap", memory, swap),
    OCID_WRAPPED(MemKernelLimit, "/linux/resources/memory/kernel", memory, kernel),
    OCID_WRAPPED(MemTCPLimit, "/linux/resources/memory/kernelTCP", memory, kernel_tcp),
    OCID_WRAPPED(MemSwappiness, "/linux/resources/memory/swappiness", memory, swappiness),
    OCID_WRAPPED(MemDisableOomKiller, "/linux/resources/memory/disableOOMKiller", memory,
                 disable_oom_killer),
    OCID_WRAPPED(MemUseHierarchy, "/linux/resources/memory/useHierarchy", memory, use_hierarchy),
    OCID_WRAPPED(CPUShares, "/linux/resources/cpu/shares", cpu, shares),
    OCID_WRAPPED(CPUQuota, "/linux/resources/cpu/quota", cpu, quota),
    OCID_WRAPPED(CPUPeriod, "/linux/resources/cpu/period", cpu, period),
    OCID_WRAPPED(CPURealtimeRuntime, "/linux/resources/cpu/realtimeRuntime", cpu, realtime_runtime),
    OCID_WRAPPED(CPURealtimePeriod, "/linux/resources/cpu/realtimePeriod", cpu, realtime_period),
    {nri::CPUSetCPUs, "/linux/resources/cpu/cpus",
     [](const nri::LinuxResources& resources) { return !resources.cpu().cpus().empty(); },
     [](nri::LinuxResources* resources) { resources->mutable_cpu()->clear_cpus(); }},
    {nri::CPUSetMems, "/linux/resources/cpu/mems",
     [](const nri::LinuxResources& resources) { return !resources.cpu().mems().empty(); },
     [](nri::LinuxResources* resources) { resources->mutable_cpu()->clear_mems(); }},
    {nri::PidsLimit, "/linux/resources/pids",
     [](const nri::LinuxResources& resources) { return resources.has_pids(); },
     [](nri::LinuxResources* resources) { resources->clear_pids(); }},
    {nri::HugepageLimits, "/linux/resources/hugepageLimits",
     [](const nri::LinuxResources& resources) { return resources.hugepage_limits_size() > 0; },
     [](nri::LinuxResources* resources) { resources->clear_hugepage_limits(); }},
    {nri::BlockioClass, "/linux/resources/blockIO",
     [](const nri::LinuxResources& resources) { return resources.has_blockio_class(); },
     [](nri::LinuxResources* resources) { resources->clear_blockio_class(); }},
    {nri::RdtClass, kRdtPointer,
     [](const nri::LinuxResources& resources) { return resources.has_rdt_class(); },
     [](nri::LinuxResources* resources) { resources->clear_rdt_class(); }},
    {nri::CgroupsUnified, "/linux/resources/unified",
     [](const nri::LinuxResources& resources) { return !resources.unified().empty(); },
     [](nri::LinuxResources* resources) { resources->clear_unified(); }},
    {nri::Devices, "/linux/resources/devices",
     [](const nri::LinuxResources& resources) { return resources.devices_size() > 0; },
     [](nri::LinuxResources* resources) { resources->clear_devices(); }},
};
#undef OCID_WRAPPED

#define OCID_PART(FIELD, POINTER, PRESENT, CLEAR)                                      \
  {                                                                                    \
    nri::FIELD, POINTER,                                                               \
        [](const nri::ContainerAdjustment& adjustment) { return adjustment.PRESENT; }, \
        [](nri::ContainerAdjustment* adjustment) { adjustment->CLEAR; }                \
  }

const Part<nri::ContainerAdjustment> kParts[] = {
    OCID_PART(Annotations, "/annotations", annotations_size() > 0, clear_annotations()),
    OCID_PART(Mounts, "/mounts", mounts_size() > 0, clear_mounts()),
    OCID_PART(Env, "/process/env", env_size() > 0, clear_env()),
    OCID_PART(Args, "/process/args", args_size() > 0, clear_args()),
    OCID_PART(OciHooks, "/hooks", has_hooks(), clear_hooks()),
    OCID_PART(Rlimits, "/process/rlimits", rlimits_size() > 0, clear_rlimits()),
    OCID_PART(CdiDevices, "", cdi_devices_size() > 0, clear_cdi_devices()),
    OCID_PART(Devices, "/linux/devices", linux().devices_size() > 0,
              mutable_linux()->clear_devices()),
    OCID_PART(CgroupsPath, "/linux/cgroupsPath", linux().cgroups_path().size() > 0,
              mutable_linux()->clear_cgroups_path()),
    OCID_PART(OomScoreAdj, "/process/oomScoreAdj", linux().has_oom_score_adj(),
              mutable_linux()->clear_oom_score_adj()),
    OCID_PART(IoPriority, "/process/ioPriority", linux().has_io_priority(),
              mutable_linux()->clear_io_priority()),
    OCID_PART(SeccompPolicy, "/linux/seccomp", linux().has_seccomp_policy(),
              mutable_linux()->clear_seccomp_policy()),
    OCID_PART(Namespace, "/linux/namespaces", linux().namespaces_size() > 0,
              mutable_linux()->clear_namespaces()),
    OCID_PART(Sysctl, "/linux/sysctl", linux().sysctl_size() > 0, mutable_linux()->clear_sysctl()),
    OCID_PART(LinuxNetDevices, "/linux/netDevices", linux().net_devices_size() > 0,
              mutable_linux()->clear_net_devices()),
    OCID_PART(LinuxSched, "/process/scheduler", linux().has_scheduler(),
              mutable_linux()->clear_scheduler()),
    OCID_PART(MemoryPolicy, "/linux/memoryPolicy", linux().has_memory_policy(),
              mutable_linux()->clear_memory_policy()),
    OCID_PART(RdtClosID, "/linux/intelRdt/closID", linux().rdt().has_clos_id(),
              mutable_linux()->mutable_rdt()->clear_clos_id()),
    OCID_PART(RdtClosID, kRdtPointer, linux().rdt().remove(),
              mutable_linux()->mutable_rdt()->clear_remove()),
    OCID_PART(RdtSchemata, "/linux/intelRdt/schemata", linux().rdt().has_schemata(),
              mutable_linux()->mutable_rdt()->clear_schemata()),
    OCID_PART(RdtEnableMonitoring, "/linux/intelRdt/enableMonitoring",
              linux().rdt().has_enable_monitoring(),
              mutable_linux()->mutable_rdt()->clear_enable_monitoring()),
};
#undef OCID_PART

template <typename Message, size_t count>
std::vector<NriIgnoredEdit> Restrict(const PluginPolicy& policy,
                                     const Part<Message> (&parts)[count], Message* message) {
  std::vector<NriIgnoredEdit> refused;
  if (!policy.fields.has_value()) return refused;
  for (const Part<Message>& part : parts) {
    if (policy.fields->contains(part.field) || !part.present(*message)) continue;
    // What was asked for: the message without all else.
    Message only = *message;
    for (const Part<Message>& other : parts) {
      if (&other != &part && other.present(only)) other.clear(&only);
    }
    refused.push_back(
        {part.pointer, NriJson(only),
         absl::StrCat("the plugin's policy does not let it touch ", nri::Field_Name(part.field))});
    part.clear(message);
  }
  return refused;
}

}  // namespace

std::vector<NriIgnoredEdit> RestrictAdjustment(const PluginPolicy& policy,
                                               nri::ContainerAdjustment* adjustment) {
  std::vector<NriIgnoredEdit> refused;
  const bool has_resources = adjustment->linux().has_resources();
  // Resources are told by themselves, so that the rest does not repeat them.
  nri::LinuxResources resources;
  if (has_resources) {
    resources.Swap(adjustment->mutable_linux()->mutable_resources());
    adjustment->mutable_linux()->clear_resources();
    refused = RestrictResources(policy, &resources);
  }
  for (NriIgnoredEdit& edit : Restrict(policy, kParts, adjustment)) {
    refused.push_back(std::move(edit));
  }
  if (has_resources) adjustment->mutable_linux()->mutable_resources()->Swap(&resources);
  return refused;
}

std::vector<NriIgnoredEdit> RestrictResources(const PluginPolicy& policy,
                                              nri::LinuxResources* resources) {
  return Restrict(policy, kResourceParts, resources);
}

std::string NriJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  return status.ok() ? text : std::string();
}

}  // namespace ocid
