#include "runtime/cgroup/systemd_manager.h"

#include <fcntl.h>

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/cgroup_files.h"
#include "runtime/cgroup/text.h"
#include "runtime/cgroup/unit_settings.h"

namespace ocid {
namespace {

// A KernelCgroup whose limits systemd holds, as far as it has properties for them.
class ScopeCgroup : public Cgroup {
 public:
  ScopeCgroup(std::shared_ptr<const CgroupLayout> layout, bool allow_missing_controllers,
              std::shared_ptr<SystemdClient> client, std::string unit,
              std::unique_ptr<KernelCgroup> kernel, std::optional<ScopeAnchor> anchor)
      : layout_(std::move(layout)),
        allow_missing_controllers_(allow_missing_controllers),
        client_(std::move(client)),
        unit_(std::move(unit)),
        kernel_(std::move(kernel)),
        anchor_(std::move(anchor)) {}

  bool exists() const override { return true; }
  BorrowedFd unified_fd() const override { return kernel_->unified_fd(); }
  std::vector<BorrowedFd> v1_procs_fds() const override { return kernel_->v1_procs_fds(); }
  void ReleaseAnchor() override { anchor_.reset(); }
  std::vector<CgroupPath> Paths() const override { return kernel_->Paths(); }
  std::string unit() const override { return unit_; }
  const std::vector<std::string>& warnings() const override { return kernel_->warnings(); }
  absl::Status Freeze(absl::Duration timeout) override { return kernel_->Freeze(timeout); }
  absl::Status Thaw(absl::Duration timeout) override { return kernel_->Thaw(timeout); }
  absl::StatusOr<bool> Frozen() const override { return kernel_->Frozen(); }
  absl::Status Kill() override { return kernel_->Kill(); }
  absl::StatusOr<bool> Populated() const override { return kernel_->Populated(); }
  absl::StatusOr<CgroupStats> Stats() const override { return kernel_->Stats(); }
  absl::StatusOr<uint64_t> OomKillCount() const override { return kernel_->OomKillCount(); }
  UniqueFd OpenOomKillFile() const override { return kernel_->OpenOomKillFile(); }

  absl::StatusOr<std::vector<pid_t>> Pids() const override {
    absl::StatusOr<std::vector<pid_t>> pids = kernel_->Pids();
    if (pids.ok() && anchor_) std::erase(*pids, anchor_->pid());
    return pids;
  }

  absl::Status Update(const nlohmann::json& document) override {
    const absl::StatusOr<Resources> resources = ParseResources(document);
    if (!resources.ok()) return resources.status();
    CgroupSettings all;
    absl::Status status =
        KernelCgroup::Check(*layout_, allow_missing_controllers_, *resources, all);
    if (!status.ok()) return status;
    status = kernel_->CheckMemoryBeforeUpdate(*resources);
    if (!status.ok()) return status;
    const UnitSettings unit = CompileUnitSettings(*resources, *layout_);
    if (!unit.properties.empty()) {
      status = client_->SetProperties(unit_, unit.properties);
      if (!status.ok()) return status;
    }
    return kernel_->Apply(unit.rest, CompileSettings(unit.rest, *layout_));
  }

  absl::Status GiveTo(uid_t owner) override { return kernel_->GiveTo(owner); }

  absl::Status Remove(absl::Duration timeout) override {
    client_->Connect();
    anchor_.reset();
    const absl::Status removed = kernel_->Remove(timeout);
    // systemd would see by itself that the scope is empty. Who wants the name again before it has waits
    // for it then: SystemdManager::StartScope.
    if (removed.ok()) client_->RequestStop(unit_);
    return removed;
  }

 private:
  const std::shared_ptr<const CgroupLayout> layout_;
  const bool allow_missing_controllers_;
  const std::shared_ptr<SystemdClient> client_;
  const std::string unit_;
  const std::unique_ptr<KernelCgroup> kernel_;
  std::optional<ScopeAnchor> anchor_;
};

std::vector<UnitProperty> ScopeProperties(const ScopeName& name, std::string_view id) {
  return {
      {"Description", absl::StrCat("container ", AsAbsl(id), " of ocid")},
      {"Slice", name.slice},
      // We write below the scope, and a container may have cgroups of its own there.
      {"Delegate", true},
      // A scope that ended badly must not keep its name.
      {"CollectMode", std::string("inactive-or-failed")},
      // Containers are stopped by ocid, not in the middle of a shutdown of everything else.
      {"DefaultDependencies", false},
      {"CPUAccounting", true},
      {"MemoryAccounting", true},
      {"IOAccounting", true},
      {"TasksAccounting", true},
      // DefaultTasksMax would limit a container that asked for no limit.
      {"TasksMax", UINT64_MAX},
  };
}

void Append(std::vector<UnitProperty>& to, const std::vector<UnitProperty>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

absl::StatusOr<std::unique_ptr<CgroupManager>> SystemdManager::Open(
    std::shared_ptr<const CgroupLayout> layout, const CgroupManagerOptions& options) {
  if (layout->unified_mount.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "CONTROLLER_MISSING",
                     absl::StrCat("cgroup2 is not mounted (", layout->Describe(), ")"),
                     {{"controller", "cgroup2"}});
  }
  const absl::StatusOr<ScopeName> name = ResolveScopeName(options.slice, "id", "");
  if (!name.ok()) return name.status();
  const auto use = options.short_lived ? SystemdClient::Use::kOnce : SystemdClient::Use::kServer;
  absl::StatusOr<std::unique_ptr<SystemdClient>> client =
      SystemdClient::Open(options.systemd_timeout, use);
  if (!client.ok()) return client.status();
  return std::unique_ptr<CgroupManager>(
      new SystemdManager(std::move(layout), options, *std::move(client)));
}

std::string SystemdManager::Describe() const {
  return absl::StrCat("systemd, ", layout_->Describe());
}

KernelCgroupOptions SystemdManager::Locate(const ScopeName& name) const {
  KernelCgroupOptions located;
  located.layout = layout_;
  located.allow_missing_controllers = options_.allow_missing_controllers;
  const std::string path = absl::StrCat(client_->control_group(), "/", name.CgroupPath());
  for (const std::string_view component : SplitText(path, '/')) {
    absl::StrAppend(&located.path, located.path.empty() ? "" : "/", AsAbsl(component));
    ++located.foreign_parents;
  }
  --located.foreign_parents;  // the scope is ours, the slices are systemd's
  return located;
}

absl::Status SystemdManager::Validate(std::string_view id, std::string_view cgroups_path,
                                      const nlohmann::json& document) const {
  const absl::StatusOr<ScopeName> name = ResolveScopeName(options_.slice, id, cgroups_path);
  if (!name.ok()) return name.status();
  const absl::StatusOr<Resources> resources = ParseResources(document);
  if (!resources.ok()) return resources.status();
  CgroupSettings settings;
  return KernelCgroup::Check(*layout_, options_.allow_missing_controllers, *resources, settings);
}

absl::StatusOr<std::unique_ptr<Cgroup>> SystemdManager::Create(
    std::string_view id, std::string_view cgroups_path, const nlohmann::json& document,
    const std::vector<UnitProperty>& unit_properties) {
  client_->Connect();
  const absl::Status valid = Validate(id, cgroups_path, document);
  if (!valid.ok()) return valid;
  const absl::StatusOr<ScopeName> name = ResolveScopeName(options_.slice, id, cgroups_path);
  if (!name.ok()) return name.status();
  const absl::StatusOr<Resources> resources = ParseResources(document);
  if (!resources.ok()) return resources.status();
  const UnitSettings unit = CompileUnitSettings(*resources, *layout_);
  std::vector<UnitProperty> properties = ScopeProperties(*name, id);
  Append(properties, unit.properties);
  Append(properties, unit_properties);

  absl::StatusOr<ScopeAnchor> anchor = ScopeAnchor::Start();
  if (!anchor.ok()) return anchor.status();
  const absl::Status started = StartScope(*name, anchor->pid(), properties);
  if (absl::IsAlreadyExists(started)) return started;  // somebody else's: hands off
  absl::Cleanup undo = [&] {
    anchor->Release();
    const absl::Status stopped = client_->StopUnit(name->scope);
    static_cast<void>(stopped);  // the first error is the one to tell
  };
  if (!started.ok()) return started;
  absl::StatusOr<std::unique_ptr<KernelCgroup>> kernel = KernelCgroup::Open(Locate(*name));
  if (!kernel.ok()) return kernel.status();
  const absl::Status applied = (*kernel)->Apply(unit.rest, CompileSettings(unit.rest, *layout_));
  if (!applied.ok()) {
    anchor->Release();
    const absl::Status removed = (*kernel)->Remove(options_.systemd_timeout);
    static_cast<void>(removed);  // the first error is the one to tell
    return applied;
  }
  std::move(undo).Cancel();
  return std::make_unique<ScopeCgroup>(layout_, options_.allow_missing_controllers, client_,
                                       name->scope, *std::move(kernel),
                                       std::optional<ScopeAnchor>(*std::move(anchor)));
}

absl::Status SystemdManager::StartScope(const ScopeName& name, pid_t pid,
                                        const std::vector<UnitProperty>& properties) {
  const absl::Status started = client_->StartScope(name.scope, pid, properties);
  if (!absl::IsAlreadyExists(started)) return started;
  // A unit without a process has ended, and systemd has not seen it yet.
  const absl::StatusOr<std::unique_ptr<KernelCgroup>> there = KernelCgroup::Open(Locate(name));
  if (there.ok()) {
    const absl::StatusOr<bool> populated = (*there)->Populated();
    if (!populated.ok() || *populated) return started;
  } else if (!absl::IsNotFound(there.status())) {
    return started;
  }
  const absl::Status stopped = client_->StopUnit(name.scope);
  if (!stopped.ok()) return started;
  return client_->StartScope(name.scope, pid, properties);
}

absl::StatusOr<std::unique_ptr<Cgroup>> SystemdManager::Open(std::string_view id,
                                                             std::string_view cgroups_path) {
  const absl::StatusOr<ScopeName> name = ResolveScopeName(options_.slice, id, cgroups_path);
  if (!name.ok()) return name.status();
  absl::StatusOr<std::unique_ptr<KernelCgroup>> kernel = KernelCgroup::Open(Locate(*name));
  if (!kernel.ok()) return kernel.status();
  return std::make_unique<ScopeCgroup>(layout_, options_.allow_missing_controllers, client_,
                                       name->scope, *std::move(kernel), std::nullopt);
}

absl::StatusOr<UniqueFd> SystemdManager::SupervisorCgroup() {
  const MutexLock lock(supervisor_mutex_);
  if (!supervisor_anchor_ || !supervisor_anchor_->Alive()) {
    const absl::Status begun = BeginSupervisorScope();
    if (!begun.ok()) return begun;
  }
  UniqueFd copy(::fcntl(supervisor_cgroup_.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return CgroupError("duplicate", "the supervisors' cgroup", errno);
  return copy;
}

absl::Status SystemdManager::BeginSupervisorScope() {
  supervisor_anchor_.reset();
  const ScopeName name = SupervisorScope(options_.slice);
  absl::StatusOr<ScopeAnchor> anchor = ScopeAnchor::Start();
  if (!anchor.ok()) return anchor.status();
  const absl::Status started =
      client_->StartScope(name.scope, anchor->pid(),
                          {{"Description", std::string("supervisors of ocid's containers")},
                           {"Slice", name.slice},
                           {"Delegate", true},
                           {"CollectMode", std::string("inactive-or-failed")},
                           {"DefaultDependencies", false},
                           {"TasksMax", UINT64_MAX}});
  const bool shared = absl::IsAlreadyExists(started);
  if (!started.ok() && !shared) return started;
  const std::string path =
      absl::StrCat(layout_->unified_mount, "/", Locate(name).path);
  absl::StatusOr<UniqueFd> directory = OpenCgroupDirectory({}, path);
  if (!directory.ok()) return directory.status();
  if (shared) {  // supervisors of an earlier daemon hold it open: join them
    const absl::Status joined =
        WriteCgroupFile(*directory, "cgroup.procs", absl::StrCat(anchor->pid()));
    if (!joined.ok()) return joined;
  }
  supervisor_cgroup_ = *std::move(directory);
  supervisor_anchor_.emplace(*std::move(anchor));
  return absl::OkStatus();
}

}  // namespace ocid
