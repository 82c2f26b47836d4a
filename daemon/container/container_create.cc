// Container: from a request to a container that stands at its start gate.

#include <future>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"
#include "daemon/container/container.h"
#include "daemon/container/hook_runner.h"
#include "daemon/container/proto_time.h"
#include "daemon/container/public_error.h"
#include "daemon/store/store_layout.h"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/cgroup_owner.h"
#include "runtime/cgroup/default_devices.h"
#include "runtime/cgroup/unit_settings.h"

namespace ocid {
namespace {

constexpr uint64_t kDefaultLogBytes = 64 << 20;
constexpr uint32_t kDefaultLogFiles = 4;

LogLimits LogLimitsOf(const v1::ContainerConfig& config) {
  LogLimits limits;
  limits.max_bytes =
      config.log().has_max_size_bytes() ? config.log().max_size_bytes() : kDefaultLogBytes;
  limits.max_files = config.log().has_max_files() ? config.log().max_files() : kDefaultLogFiles;
  limits.cri_format = config.log().format() == v1::LogConfig::CRI;
  return limits;
}

// linux.resources as the cgroup is to hold them, with the rules for the default devices.
nlohmann::json ResourcesOf(const OciSpec& spec, CgroupManagerKind kind) {
  nlohmann::json resources;
  const auto linux_member = spec.json().find("linux");
  if (linux_member != spec.json().end() && linux_member->is_object()) {
    resources = linux_member->value("resources", nlohmann::json());
  }
  return kind == CgroupManagerKind::kNone ? resources : WithDefaultDevices(resources);
}

}  // namespace

void Container::Create(const v1::CreateContainerRequest& request, const Caller& caller,
                       std::string digest, Done<v1::Container> callback) {
  OnLane(std::move(callback), [request, caller, digest = std::move(digest)](
                                  Container& self, Lane::Turn turn, Done<v1::Container> done) {
    absl::StatusOr<v1::Container> answer = self.DoCreate(request, caller, digest);
    const bool made = answer.ok() && !request.validate_only();
    if (!made) {  // the id is free again before anybody is told
      {
        MutexLock lock(self.mutex_);
        self.gone_ = true;
      }
      self.services_.forget(self);
      self.AnswerWaiters(self.GoneError());
    }
    if (!made) turn.End();
    done(answer.ok() ? std::move(answer) : PublicError(answer.status()));
    if (!made) return;
    // Nobody waits for what plugins make of it but the container's next operation.
    self.TellCreated();
    turn.End();
    if (self.services_.networks != nullptr) self.services_.networks->MakeSpare();
  });
}

absl::StatusOr<v1::Container> Container::DoCreate(const v1::CreateContainerRequest& request,
                                                  const Caller& caller, const std::string& digest) {
  if (services_.closing) {
    return MakeError(absl::StatusCode::kUnavailable, "SHUTTING_DOWN", "the daemon shuts down");
  }
  const absl::Time now = services_.timers.Now();
  absl::StatusOr<PluginCalls*> plugins = nullptr;
  if (!request.validate_only()) plugins = BeginPlugins(request.config());
  if (!plugins.ok()) return plugins.status();
  absl::Cleanup undo_plugins = [this] { EndPlugins(); };
  const absl::Time begin = absl::Now();
  absl::StatusOr<GeneratedSpec> generated =
      services_.compiler.Generate(id_, request.config(), now, *plugins);
  PhaseEnded("spec", begin);
  if (!generated.ok()) return generated.status();

  *view_.mutable_config() = request.config();
  view_.set_generation(1);
  *view_.mutable_create_time() = ToTimestamp(now);
  view_.set_bundle(request.config().bundle());
  view_.set_image(request.config().image());
  *view_.mutable_labels() = request.config().labels();
  view_.set_log_path(JoinPath(services_.store.RootPath(id_), kLogName));
  view_.set_owner(caller.identity);
  DescribeSpec(*generated);

  if (request.validate_only()) {
    const absl::Status cgroup = services_.cgroups.Validate(
        id_, cgroups_path_, ResourcesOf(generated->spec, services_.cgroups.kind()));
    if (!cgroup.ok()) return cgroup;
    const absl::StatusOr<CompiledPlan> plan =
        services_.compiler.CompilePlan(id_, request.config(), generated->spec, {});
    if (!plan.ok()) return plan.status();
    return BasicView();
  }

  internal::ContainerRecord record;
  record.set_id(id_);
  *record.mutable_config() = request.config();
  record.set_request_id(request.request_id());
  if (!request.request_id().empty()) record.set_request_digest(digest);
  record.set_owner(caller.identity);
  *record.mutable_create_time() = view_.create_time();
  KeepAnswers(record);

  const absl::StatusOr<ContainerDirectories> made = services_.store.MakeDirectories(id_);
  absl::Cleanup remove_directories = [&] {
    const absl::Status removed = RemoveFiles();
    if (removed.ok()) return;
    Log(LogLevel::kWarning, "create: files left behind", {{"container", id_}, {"error", removed}});
  };
  if (!made.ok()) return made.status();
  BeginLaunch();
  const absl::Cleanup launch_over = [this] { EndLaunch(); };
  const absl::Status intended = Intend(LifecycleEvent::kCreate);
  if (!intended.ok()) return intended;
  const absl::Status launched = Launch(*generated, std::move(record));
  if (!launched.ok()) {
    // runtime-spec, lifecycle: a setup that fails goes on with these, when all else is undone.
    RunPoststop();
    Commit(LifecycleEvent::kCreateFailed);
    return launched;
  }
  std::move(remove_directories).Cancel();
  std::move(undo_plugins).Cancel();
  {
    MutexLock lock(mutex_);
    request_id_ = request.request_id();
    request_digest_ = digest;
  }
  Commit(LifecycleEvent::kCreated);
  return BasicView();
}

void Container::DescribeSpec(const GeneratedSpec& generated) {
  const OciSpec& spec = generated.spec;
  view_.clear_args();
  for (std::string& arg : spec.Args()) view_.add_args(std::move(arg));
  view_.clear_annotations();
  for (const auto& [key, value] : spec.Annotations()) (*view_.mutable_annotations())[key] = value;
  view_.set_terminal(spec.Terminal());
  view_.set_spec_sha256(generated.sha256);
  spec_text_ = std::make_shared<const std::string>(spec.Canonical());
  spec_ = nullptr;
  cgroups_path_ = spec.CgroupsPath();
}

absl::Status Container::Launch(const GeneratedSpec& generated, internal::ContainerRecord record) {
  // The request's own annotations alone: a bundle or an image must not reach systemd.
  const absl::StatusOr<UnitAnnotations> unit = ParseUnitAnnotations(
      {view_.config().annotations().begin(), view_.config().annotations().end()});
  if (!unit.ok()) return unit.status();
  absl::Time begin = absl::Now();
  if (view_.config().has_image() && services_.rootfs != nullptr) {
    const absl::Status prepared = services_.rootfs->Prepare(id_, generated.spec.RootPath());
    if (!prepared.ok()) return prepared;
    PhaseEnded("rootfs", begin);
  }
  begin = absl::Now();
  absl::StatusOr<std::unique_ptr<Cgroup>> cgroup = services_.cgroups.Create(
      id_, generated.spec.CgroupsPath(), ResourcesOf(generated.spec, services_.cgroups.kind()),
      unit->properties);
  if (!cgroup.ok()) return cgroup.status();
  PhaseEnded("cgroup", begin);
  absl::Cleanup remove_cgroup = [&] {
    const absl::Status removed = (*cgroup)->Remove(services_.kill_timeout);
    if (removed.ok()) return;
    Log(LogLevel::kWarning, "launch: cgroup left behind", {{"container", id_}, {"error", removed}});
  };
  if (const std::optional<uid_t> owner = CgroupOwner(generated.spec.json())) {
    const absl::Status given = (*cgroup)->GiveTo(*owner);
    if (!given.ok()) return given;
  }
  begin = absl::Now();
  LaunchPlaces places{.cgroups = (*cgroup)->Paths()};
  if (services_.networks != nullptr && services_.networks->Has(id_)) {
    places.network_namespace = services_.networks->PathFor(id_);
  }
  const absl::StatusOr<CompiledPlan> plan =
      services_.compiler.CompilePlan(id_, view_.config(), generated.spec, places);
  if (!plan.ok()) return plan.status();
  PhaseEnded("plan", begin);

  internal::Generation* const generation = record.add_generations();
  generation->set_number(view_.generation());
  *generation->mutable_time() = ToTimestamp(services_.timers.Now());
  generation->set_journal(generated.journal);
  generation->set_spec_sha256(generated.sha256);
  generation->set_original_sha256(generated.original_sha256);
  generation->set_executor_sha256(plan->executor_sha256);
  generation->set_final_spec(*spec_text_);

  absl::StatusOr<ContainerDirectories> directories = services_.store.OpenDirectories(id_);
  if (!directories.ok()) return directories.status();

  const absl::StatusOr<UniqueFd> supervisor_cgroup = services_.cgroups.SupervisorCgroup();
  if (!supervisor_cgroup.ok()) return supervisor_cgroup.status();

  begin = absl::Now();
  // The disk and the supervisor work at the same time; both must be done before anybody is told.
  std::promise<absl::Status> record_written;
  services_.writers.Post([&] { record_written.set_value(services_.store.PutRecord(record)); });
  const UniqueFd oom_kills = (*cgroup)->OpenOomKillFile();
  CreateRequest request;
  request.id = id_;
  request.state_dir = directories->state;
  request.container_dir = directories->root;
  request.plan = plan->plan;
  request.supervisor_cgroup2_dir = *supervisor_cgroup;
  request.cgroup2_dir = (*cgroup)->unified_fd();
  request.oom_kills = oom_kills;
  request.cgroup1_procs = (*cgroup)->v1_procs_fds();
  request.open_stdin = view_.config().open_stdin();
  request.log = LogLimitsOf(view_.config());
  request.on_spawned = [this](const std::function<void()>& kill) { SetAbortLaunch(kill); };
  poststop_due_ = MayHavePoststop(*spec_text_);
  absl::StatusOr<std::shared_ptr<SupervisorHandle>> handle =
      services_.supervisors.Create(request, MakeCallbacks(), services_.launch_timeout);
  SetAbortLaunch(nullptr);
  const absl::Status written = record_written.get_future().get();
  PhaseEnded("launch", begin);
  if (!handle.ok()) return handle.status();
  absl::Cleanup kill_supervisor = [&] {
    // It ends the init with it, which has not executed its program yet.
    const absl::Status killed = (*handle)->KillSupervisor();
    if (killed.ok()) return;
    Log(LogLevel::kWarning, "launch: supervisor left", {{"container", id_}, {"error", killed}});
  };
  if (!written.ok()) return written;

  (*cgroup)->ReleaseAnchor();
  std::move(kill_supervisor).Cancel();
  std::move(remove_cgroup).Cancel();
  cgroup_ = *std::move(cgroup);
  oom_kills_told_ = 0;
  oom_kills_seen_ = nullptr;
  WatchOomKills();
  updated_resources_.clear();
  init_ = (*handle)->init();
  supervisor_identity_ = {.pid = (*handle)->supervisor_pid()};
  SetSupervisor(*std::move(handle));
  view_.set_pid(init_.pid);
  view_.set_supervisor_pid(supervisor_identity_.pid);
  const std::vector<CgroupPath> paths = cgroup_->Paths();
  view_.set_cgroup_path(paths.empty() ? "" : paths.front().directory);
  for (const std::string& warning : cgroup_->warnings()) AddWarning(warning);
  for (const std::string& annotation : unit->stripped) {
    AddWarning(absl::StrCat("annotation ", annotation, " was not passed to systemd"));
  }
  return absl::OkStatus();
}

SupervisorCallbacks Container::MakeCallbacks() {
  // On the host's thread: over to the lane. An exit of an earlier generation is told by its number.
  const uint32_t generation = view_.generation();
  const std::weak_ptr<Container> weak = weak_from_this();
  SupervisorCallbacks callbacks;
  callbacks.on_init_exit = [weak, generation](const ExitRecord& record) {
    if (const std::shared_ptr<Container> self = weak.lock()) {
      self->lane_->PushAlways(
          [self, generation, record](Lane::Turn) { self->HandleExit(generation, record); });
    }
  };
  callbacks.on_exec_exit = [weak](const std::string& exec_id, const ExitRecord& record) {
    if (const std::shared_ptr<Container> self = weak.lock()) {
      self->services_.pool.Post([self, exec_id, record] { self->HandleExecExit(exec_id, record); });
    }
  };
  callbacks.on_log_state = [weak](const LogState& state) {
    if (const std::shared_ptr<Container> self = weak.lock()) {
      self->lane_->PushAlways([self, state](Lane::Turn) { self->HandleLogState(state); });
    }
  };
  callbacks.on_lost = [weak, generation] {
    if (const std::shared_ptr<Container> self = weak.lock()) {
      self->lane_->PushAlways([self, generation](Lane::Turn) { self->HandleLost(generation); });
    }
  };
  return callbacks;
}

}  // namespace ocid
