#include "daemon/nri/adjustment_claims.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/nri/nri_names.h"
#include "google/protobuf/message.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

// One plugin's claims in one container's table. The first conflict is kept; nothing counts after
// it.
class Claimer {
 public:
  Claimer(const std::string& plugin, nri::FieldOwners& owners) : plugin_(plugin), owners_(owners) {}

  const absl::Status& status() const { return status_; }

  void Claim(nri::Field field) { Take(field, "", (*owners_.mutable_simple())[field]); }
  void Claim(nri::Field field, const std::string& key) {
    Take(field, key, (*(*owners_.mutable_compound())[field].mutable_owners())[key]);
  }

  // Whoever owned it: from now on only this plugin may.
  void Clear(nri::Field field) { (*owners_.mutable_simple())[field] = absl::StrCat("-", plugin_); }
  void ClearOwned(nri::Field field, const std::string& key) {
    auto& keys = *(*owners_.mutable_compound())[field].mutable_owners();
    if (keys.contains(key)) keys[key] = absl::StrCat("-", plugin_);
  }

  // Several plugins may have one of these.
  void Accumulate(nri::Field field) {
    std::string& owner = (*owners_.mutable_simple())[field];
    owner = owner.empty() ? plugin_ : absl::StrCat(owner, ",", plugin_);
  }

 private:
  void Take(nri::Field field, const std::string& key, std::string& owner) {
    if (!status_.ok()) return;
    const std::string previous = UnmarkedName(owner);
    const bool may_set = owner.empty() || (IsRemoval(owner) && previous == plugin_);
    if (may_set) {
      owner = plugin_;
      return;
    }
    const std::string& name = nri::Field_Name(field);
    status_ = MakeError(
        absl::StatusCode::kFailedPrecondition, "DEVICE_CONFLICT",
        absl::StrCat("plugins \"", plugin_, "\" and \"", previous, "\" both tried to set ", name,
                     key.empty() ? "" : " ", key),
        {{"actor", plugin_}, {"previous_actor", previous}, {"field", name}, {"key", key}});
  }

  const std::string& plugin_;
  nri::FieldOwners& owners_;
  absl::Status status_;
};

void ClaimResources(const nri::LinuxResources& resources, Claimer& claimer) {
  const nri::LinuxMemory& memory = resources.memory();
  if (memory.has_limit()) claimer.Claim(nri::MemLimit);
  if (memory.has_reservation()) claimer.Claim(nri::MemReservation);
  if (memory.has_swap()) claimer.Claim(nri::MemSwapLimit);
  if (memory.has_kernel()) claimer.Claim(nri::MemKernelLimit);
  if (memory.has_kernel_tcp()) claimer.Claim(nri::MemTCPLimit);
  if (memory.has_swappiness()) claimer.Claim(nri::MemSwappiness);
  if (memory.has_disable_oom_killer()) claimer.Claim(nri::MemDisableOomKiller);
  if (memory.has_use_hierarchy()) claimer.Claim(nri::MemUseHierarchy);
  const nri::LinuxCPU& cpu = resources.cpu();
  if (cpu.has_shares()) claimer.Claim(nri::CPUShares);
  if (cpu.has_quota()) claimer.Claim(nri::CPUQuota);
  if (cpu.has_period()) claimer.Claim(nri::CPUPeriod);
  if (cpu.has_realtime_runtime()) claimer.Claim(nri::CPURealtimeRuntime);
  if (cpu.has_realtime_period()) claimer.Claim(nri::CPURealtimePeriod);
  if (!cpu.cpus().empty()) claimer.Claim(nri::CPUSetCPUs);
  if (!cpu.mems().empty()) claimer.Claim(nri::CPUSetMems);
  for (const nri::HugepageLimit& limit : resources.hugepage_limits()) {
    claimer.Claim(nri::HugepageLimits, limit.page_size());
  }
  for (const auto& [file, value] : resources.unified()) claimer.Claim(nri::CgroupsUnified, file);
  if (resources.has_blockio_class()) claimer.Claim(nri::BlockioClass);
  if (resources.has_rdt_class()) claimer.Claim(nri::RdtClass);
  if (resources.has_pids()) claimer.Claim(nri::PidsLimit);
}

// Of a map whose keys may carry the mark: into `combined` as it stands after this plugin.
template <typename Map>
void ClaimMap(nri::Field field, const Map& requested, Claimer& claimer, Map* combined) {
  for (const auto& [name, value] : requested) {
    if (!IsRemoval(name)) continue;
    const std::string key = UnmarkedName(name);
    claimer.ClearOwned(field, key);
    combined->erase(key);
    (*combined)[name];
  }
  for (const auto& [name, value] : requested) {
    if (IsRemoval(name)) continue;
    claimer.Claim(field, name);
    (*combined)[name] = value;
  }
}

// Of a list whose elements are known by `key_of`, a mutable string.
template <typename Element, typename KeyOf>
void ClaimList(nri::Field field, const google::protobuf::RepeatedPtrField<Element>& requested,
               KeyOf key_of, Claimer& claimer,
               google::protobuf::RepeatedPtrField<Element>* combined) {
  std::set<std::string> removed;
  std::set<std::string> added;
  for (const Element& element : requested) {
    const std::string& name = key_of(element);
    (IsRemoval(name) ? removed : added).insert(UnmarkedName(name));
  }
  for (const std::string& key : removed) claimer.ClearOwned(field, key);
  combined->erase(std::remove_if(combined->begin(), combined->end(),
                                 [&](const Element& element) {
                                   const std::string key = UnmarkedName(key_of(element));
                                   return removed.contains(key) || added.contains(key);
                                 }),
                  combined->end());
  for (const Element& element : requested) {
    const std::string& name = key_of(element);
    if (IsRemoval(name)) {
      // Whoever sees the whole must know of removals of what the container had before.
      if (!added.contains(UnmarkedName(name))) *combined->Add() = element;
      continue;
    }
    claimer.Claim(field, name);
    *combined->Add() = element;
  }
}

void ClaimHooks(const nri::Hooks& hooks, Claimer& claimer, nri::Hooks* combined) {
  const int count = hooks.prestart_size() + hooks.create_runtime_size() +
                    hooks.create_container_size() + hooks.start_container_size() +
                    hooks.poststart_size() + hooks.poststop_size();
  if (count == 0) return;
  claimer.Accumulate(nri::OciHooks);
  combined->MergeFrom(hooks);
}

void ClaimArgs(const google::protobuf::RepeatedPtrField<std::string>& args, Claimer& claimer,
               nri::ContainerAdjustment* combined) {
  if (args.empty()) return;
  const bool override = args[0].empty();
  if (override) claimer.Clear(nri::Args);
  claimer.Claim(nri::Args);
  combined->mutable_args()->Assign(args.begin() + (override ? 1 : 0), args.end());
}

void ClaimRdt(const nri::LinuxRdt& rdt, Claimer& claimer, nri::LinuxRdt* combined) {
  if (rdt.remove()) {
    for (const nri::Field field : {nri::RdtClosID, nri::RdtSchemata, nri::RdtEnableMonitoring}) {
      claimer.Clear(field);
    }
    combined->Clear();
    combined->set_remove(true);
  }
  if (rdt.has_clos_id()) {
    claimer.Claim(nri::RdtClosID);
    *combined->mutable_clos_id() = rdt.clos_id();
  }
  if (rdt.has_schemata()) {
    claimer.Claim(nri::RdtSchemata);
    *combined->mutable_schemata() = rdt.schemata();
  }
  if (rdt.has_enable_monitoring()) {
    claimer.Claim(nri::RdtEnableMonitoring);
    *combined->mutable_enable_monitoring() = rdt.enable_monitoring();
  }
  if (rdt.has_clos_id() || rdt.has_schemata() || rdt.has_enable_monitoring()) {
    combined->set_remove(false);
  }
}

void ClaimLinux(const nri::LinuxContainerAdjustment& linux_part, Claimer& claimer,
                nri::LinuxContainerAdjustment* combined) {
  ClaimList(
      nri::Devices, linux_part.devices(),
      [](const nri::LinuxDevice& device) -> const std::string& { return device.path(); }, claimer,
      combined->mutable_devices());
  if (linux_part.has_resources()) {
    ClaimResources(linux_part.resources(), claimer);
    MergeNriResources(linux_part.resources(), combined->mutable_resources());
  }
  if (!linux_part.cgroups_path().empty()) {
    claimer.Claim(nri::CgroupsPath);
    combined->set_cgroups_path(linux_part.cgroups_path());
  }
  if (linux_part.has_oom_score_adj()) {
    claimer.Claim(nri::OomScoreAdj);
    *combined->mutable_oom_score_adj() = linux_part.oom_score_adj();
  }
  if (linux_part.has_io_priority()) {
    claimer.Claim(nri::IoPriority);
    *combined->mutable_io_priority() = linux_part.io_priority();
  }
  if (linux_part.has_seccomp_policy()) {
    claimer.Claim(nri::SeccompPolicy);
    *combined->mutable_seccomp_policy() = linux_part.seccomp_policy();
  }
  for (const nri::LinuxNamespace& entry : linux_part.namespaces()) {
    claimer.Claim(nri::Namespace, UnmarkedName(entry.type()));
    *combined->add_namespaces() = entry;
  }
  ClaimMap(nri::Sysctl, linux_part.sysctl(), claimer, combined->mutable_sysctl());
  ClaimMap(nri::LinuxNetDevices, linux_part.net_devices(), claimer,
           combined->mutable_net_devices());
  if (linux_part.has_scheduler()) {
    claimer.Claim(nri::LinuxSched);
    *combined->mutable_scheduler() = linux_part.scheduler();
  }
  if (linux_part.has_rdt()) ClaimRdt(linux_part.rdt(), claimer, combined->mutable_rdt());
  if (linux_part.has_memory_policy()) {
    claimer.Claim(nri::MemoryPolicy);
    *combined->mutable_memory_policy() = linux_part.memory_policy();
  }
}

// Not a merge: a wrapper that holds 0 has no field that a merge could see.
void ReplaceFields(const google::protobuf::Message& from, google::protobuf::Message* into) {
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  from.GetReflection()->ListFields(from, &fields);
  for (const auto* field : fields) into->GetReflection()->ClearField(into, field);
  into->MergeFrom(from);
}

}  // namespace

void MergeNriResources(const nri::LinuxResources& from, nri::LinuxResources* into) {
  nri::LinuxResources rest = from;
  if (from.has_memory()) ReplaceFields(from.memory(), into->mutable_memory());
  if (from.has_cpu()) ReplaceFields(from.cpu(), into->mutable_cpu());
  rest.clear_memory();
  rest.clear_cpu();
  auto& pages = *into->mutable_hugepage_limits();
  for (const nri::HugepageLimit& limit : from.hugepage_limits()) {
    const auto same = std::find_if(pages.begin(), pages.end(), [&](const auto& candidate) {
      return candidate.page_size() == limit.page_size();
    });
    (same == pages.end() ? *pages.Add() : *same) = limit;
  }
  rest.clear_hugepage_limits();
  if (from.has_blockio_class()) into->clear_blockio_class();
  if (from.has_rdt_class()) into->clear_rdt_class();
  if (from.has_pids()) into->clear_pids();
  into->MergeFrom(rest);
}

AdjustmentClaims::AdjustmentClaims(std::string container_id, Operation operation)
    : container_id_(std::move(container_id)), operation_(operation) {}

absl::Status AdjustmentClaims::ClaimAdjustment(const std::string& plugin,
                                               const nri::ContainerAdjustment& adjustment) {
  Claimer claimer(plugin, own());
  ClaimMap(nri::Annotations, adjustment.annotations(), claimer, combined_.mutable_annotations());
  ClaimList(
      nri::Mounts, adjustment.mounts(),
      [](const nri::Mount& mount) -> const std::string& { return mount.destination(); }, claimer,
      combined_.mutable_mounts());
  ClaimList(
      nri::Env, adjustment.env(),
      [](const nri::KeyValue& entry) -> const std::string& { return entry.key(); }, claimer,
      combined_.mutable_env());
  ClaimArgs(adjustment.args(), claimer, &combined_);
  if (adjustment.has_hooks()) {
    ClaimHooks(adjustment.hooks(), claimer, combined_.mutable_hooks());
  }
  if (adjustment.has_linux()) {
    ClaimLinux(adjustment.linux(), claimer, combined_.mutable_linux());
  }
  for (const nri::POSIXRlimit& rlimit : adjustment.rlimits()) {
    claimer.Claim(nri::Rlimits, rlimit.type());
    *combined_.add_rlimits() = rlimit;
  }
  for (const nri::CDIDevice& device : adjustment.cdi_devices()) {
    claimer.Claim(nri::CdiDevices, device.name());
    *combined_.add_cdi_devices() = device;
  }
  return claimer.status();
}

absl::Status AdjustmentClaims::ClaimUpdates(const std::string& plugin, const Updates& updates) {
  for (const nri::ContainerUpdate& update : updates) {
    const std::string& id = update.container_id();
    if (operation_ == Operation::kCreate && id == container_id_) {
      return MakeError(
          absl::StatusCode::kFailedPrecondition, "PLUGIN_FAILED",
          absl::StrCat("plugin \"", plugin, "\" asked update of \"", id, "\" during creation"),
          {{"plugin", plugin}});
    }
    nri::FieldOwners owners =
        owners_.owners().contains(id) ? owners_.owners().at(id) : nri::FieldOwners();
    Claimer claimer(plugin, owners);
    ClaimResources(update.linux().resources(), claimer);
    if (!claimer.status().ok()) {
      if (update.ignore_failure()) continue;
      return claimer.status();
    }
    (*owners_.mutable_owners())[id] = std::move(owners);
    const auto [place, first] = updates_.try_emplace(id);
    nri::ContainerUpdate& merged = place->second;
    if (first) {
      update_order_.push_back(id);
      merged.set_container_id(id);
      merged.set_ignore_failure(update.ignore_failure());
    }
    merged.set_ignore_failure(merged.ignore_failure() && update.ignore_failure());
    MergeNriResources(update.linux().resources(), merged.mutable_linux()->mutable_resources());
  }
  return absl::OkStatus();
}

std::vector<nri::ContainerUpdate> AdjustmentClaims::updates() const {
  std::vector<nri::ContainerUpdate> updates;
  for (const std::string& id : update_order_) updates.push_back(updates_.at(id));
  return updates;
}

std::string AdjustmentClaims::Owner(nri::Field field, const std::string& key) const {
  const auto container = owners_.owners().find(container_id_);
  if (container == owners_.owners().end()) return "";
  const auto keys = container->second.compound().find(field);
  if (keys == container->second.compound().end()) return "";
  const auto owner = keys->second.owners().find(key);
  if (owner == keys->second.owners().end() || IsRemoval(owner->second)) return "";
  return owner->second;
}

}  // namespace ocid
