#include "daemon/container/container_manager.h"

#include <atomic>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/base/filter.h"
#include "daemon/base/log.h"
#include "daemon/container/container.h"
#include "daemon/container/manager_parts.h"
#include "daemon/container/page.h"
#include "daemon/container/public_error.h"
#include "daemon/container/request_log.h"
#include "daemon/store/file_record_store.h"
#include "daemon/store/store_layout.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

constexpr int kWriterThreads = 4;

// On top of the operations' threads: those that wait for a plugin that hangs must not be missed by others.
constexpr int kPluginThreads = 256;

absl::Status NotServing() {
  return MakeError(absl::StatusCode::kUnavailable, "SHUTTING_DOWN",
                   "the daemon is starting or shutting down");
}

absl::Status ContainerNotFound(const std::string& id) {
  return MakeError(absl::StatusCode::kNotFound, "CONTAINER_NOT_FOUND",
                   absl::StrCat("container ", id, ": not found"), {{"container_id", id}});
}

std::optional<std::string> FieldOf(const v1::Container& container, std::string_view key) {
  constexpr std::string_view kLabel = "label.";
  if (key == "id") return container.id();
  if (key == "image") return container.image();
  if (key == "state") return std::string(ContainerStateName(container.state()));
  if (key.substr(0, kLabel.size()) != kLabel) return std::nullopt;
  const auto label = container.labels().find(std::string(key.substr(kLabel.size())));
  if (label == container.labels().end()) return std::nullopt;
  return label->second;
}

const FilterKeys& ContainerFilterKeys() {
  static const FilterKeys* const keys =
      new FilterKeys{.keys = {"id", "image"}, .ignore_case = {"state"}, .labels = true};
  return *keys;
}

class ContainerManagerImpl final : public ContainerManager, private PluginTargets {
 public:
  explicit ContainerManagerImpl(ManagerParts parts)
      : parts_(std::move(parts)),
        pool_("operations", parts_.options.max_threads +
                                (parts_.options.plugins == nullptr ? 0 : kPluginThreads)),
        writers_("writers", kWriterThreads),
        requests_(*parts_.timers),
        services_{.store = *parts_.store,
                  .events = *parts_.events,
                  .compiler = *parts_.options.compiler,
                  .rootfs = parts_.options.rootfs.get(),
                  .plugins = parts_.options.plugins,
                  .networks = parts_.networks.get(),
                  .supervisors = *parts_.options.supervisors,
                  .cgroups = *parts_.options.cgroups,
                  .oom_watcher = parts_.oom_watcher.get(),
                  .timers = *parts_.timers,
                  .pool = pool_,
                  .writers = writers_,
                  .lane_capacity = parts_.options.lane_capacity,
                  .launch_timeout = parts_.options.launch_timeout,
                  .control_timeout = parts_.options.control_timeout,
                  .kill_timeout = parts_.options.kill_timeout,
                  .etag_prefix = absl::StrFormat("%x", absl::ToUnixMicros(parts_.timers->Now())),
                  .forget = [this](const Container& container) { Forget(container); },
                  .on_phase = parts_.options.on_phase} {
    if (services_.plugins == nullptr) return;
    services_.plugins->networks = services_.networks;
    services_.plugins->targets = this;
  }

  ~ContainerManagerImpl() override {
    {
      MutexLock lock(mutex_);
      serving_ = false;
    }
    services_.closing = true;
    if (services_.plugins != nullptr) services_.plugins->targets = nullptr;
    for (const std::shared_ptr<Container>& container : AllContainers()) container->Abandon();
    AwaitIdle(absl::InfiniteDuration());
    const absl::Duration waited = parts_.options.cgroups->TimeWaited();
    if (waited > absl::ZeroDuration()) {
      Log(LogLevel::kInfo, "waited for systemd", {{"time", absl::FormatDuration(waited)}});
    }
    // Who works ends first, while all that the work needs is there; then those who would call in from
    // outside, whose work is dropped now: the next daemon finds it.
    pool_.Shutdown();
    writers_.Shutdown();
    parts_.oom_watcher.reset();
    parts_.timers.reset();
    parts_.options.supervisors.reset();
  }

  absl::StatusOr<RecoveryReport> Recover() override;
  bool Drain(absl::Duration timeout) override;

  void Create(const v1::CreateContainerRequest& request, const Caller& caller,
              Done<v1::Container> done) override;
  absl::StatusOr<v1::Container> Get(const v1::GetContainerRequest& request) const override;
  absl::StatusOr<v1::ListContainersResponse> List(
      const v1::ListContainersRequest& request) const override;

  void Update(const v1::UpdateContainerRequest& request, const Caller& caller,
              Done<v1::Container> done) override {
    Mutate<v1::Container>(request, caller, std::move(done), &Container::Update);
  }
  void Delete(const v1::DeleteContainerRequest& request, const Caller& caller,
              Done<v1::DeleteContainerResponse> done) override {
    Mutate<v1::DeleteContainerResponse>(request, caller, std::move(done), &Container::Delete);
  }
  void Start(const v1::StartContainerRequest& request, const Caller& caller,
             Done<v1::Container> done) override {
    Mutate<v1::Container>(request, caller, std::move(done), &Container::Start);
  }
  void Stop(const v1::StopContainerRequest& request, const Caller& caller,
            Done<v1::Container> done) override {
    Mutate<v1::Container>(request, caller, std::move(done), &Container::Stop);
  }
  void Kill(const v1::KillContainerRequest& request, const Caller& caller,
            Done<v1::KillContainerResponse> done) override {
    Mutate<v1::KillContainerResponse>(request, caller, std::move(done), &Container::Kill);
  }
  void Pause(const v1::PauseContainerRequest& request, const Caller& caller,
             Done<v1::Container> done) override {
    Mutate<v1::Container>(request, caller, std::move(done), &Container::Pause);
  }
  void Resume(const v1::ResumeContainerRequest& request, const Caller& caller,
              Done<v1::Container> done) override {
    Mutate<v1::Container>(request, caller, std::move(done), &Container::Resume);
  }

  void Wait(const v1::WaitContainerRequest& request, std::shared_ptr<Cancellation> cancellation,
            Done<v1::WaitContainerResponse> done) override {
    const auto container = Find(request.container_id());
    if (!container.ok()) return done(container.status());
    (*container)->Wait(std::move(cancellation), std::move(done));
  }
  void ListProcesses(const v1::ListProcessesRequest& request,
                     Done<v1::ListProcessesResponse> done) override {
    const auto container = Find(request.container_id());
    if (!container.ok()) return done(container.status());
    (*container)->ListProcesses(Tracked(std::move(done)));
  }
  void GetStats(const v1::GetStatsRequest& request, Done<v1::ContainerStats> done) override {
    const auto container = Find(request.container_id());
    if (!container.ok()) return done(container.status());
    (*container)->GetStats(Tracked(std::move(done)));
  }
  void InspectOciSpec(const v1::InspectOciSpecRequest& request,
                      Done<v1::OciSpecHistory> done) override {
    const auto container = Find(request.container_id());
    if (!container.ok()) return done(container.status());
    (*container)->InspectOciSpec(request, Tracked(std::move(done)));
  }
  void RenderOciSpec(const v1::RenderOciSpecRequest& request,
                     Done<v1::OciSpecHistory> done) override;
  void DetectDrift(const v1::DetectDriftRequest& request,
                   Done<v1::DetectDriftResponse> done) override {
    const auto container = Find(request.container_id());
    if (!container.ok()) return done(container.status());
    (*container)->DetectDrift(request, Tracked(std::move(done)));
  }

  void CreateExec(const v1::CreateExecRequest& request, const Caller& caller,
                  Done<v1::Exec> done) override {
    Mutate<v1::Exec>(request, caller, std::move(done), &Container::CreateExec);
  }
  void StartExec(const v1::StartExecRequest& request, const Caller& caller,
                 Done<v1::Exec> done) override {
    Mutate<v1::Exec>(request, caller, std::move(done), &Container::StartExec);
  }
  absl::StatusOr<v1::Exec> GetExec(const v1::GetExecRequest& request) const override {
    const auto container = Find(request.container_id());
    if (!container.ok()) return container.status();
    return (*container)->GetExec(request.exec_id());
  }
  absl::StatusOr<v1::ListExecsResponse> ListExecs(
      const v1::ListExecsRequest& request) const override {
    const auto container = Find(request.container_id());
    if (!container.ok()) return container.status();
    return (*container)->ListExecs(request);
  }
  void WaitExec(const v1::WaitExecRequest& request, std::shared_ptr<Cancellation> cancellation,
                Done<v1::WaitExecResponse> done) override {
    const auto container = Find(request.container_id());
    if (!container.ok()) return done(container.status());
    (*container)->WaitExec(request.exec_id(), std::move(cancellation), std::move(done));
  }
  void KillExec(const v1::KillExecRequest& request, const Caller& caller,
                Done<v1::KillExecResponse> done) override {
    Mutate<v1::KillExecResponse>(request, caller, std::move(done), &Container::KillExec);
  }
  void DeleteExec(const v1::DeleteExecRequest& request, const Caller& caller,
                  Done<v1::DeleteExecResponse> done) override {
    Mutate<v1::DeleteExecResponse>(request, caller, std::move(done), &Container::DeleteExec);
  }
  void ResizeExec(const v1::ResizeExecRequest& request,
                  Done<v1::ResizeExecResponse> done) override {
    Mutate<v1::ResizeExecResponse>(request, {}, std::move(done), &Container::ResizeExec);
  }
  void Attach(const v1::AttachRequest::Open& request, const Caller& caller,
              Done<Attachment> done) override {
    (void)caller;  // an attachment is not retried by a request_id
    if (!serving()) return done(NotServing());
    const auto container = Find(request.container_id());
    if (!container.ok()) return done(container.status());
    (*container)->Attach(request, Tracked(std::move(done)));
  }

  absl::StatusOr<LogLocation> GetLog(std::string_view container_id) const override {
    const auto container = Find(std::string(container_id));
    if (!container.ok()) return container.status();
    return LogLocation{parts_.store->RootPath((*container)->id()),
                       (*container)->snapshot()->state()};
  }
  ManagerInfo GetInfo() const override;
  std::map<std::string, size_t> QueuedOperations() const override {
    std::map<std::string, size_t> queued;
    for (const std::shared_ptr<Container>& container : AllContainers()) {
      const size_t waiting = container->queued_operations();
      if (waiting > 0) queued[container->id()] = waiting;
    }
    return queued;
  }
  EventLog& events() override { return *parts_.events; }

 private:
  void UpdateFromPlugin(const std::string& container_id, const nri::LinuxResources& resources,
                        const std::string& plugin,
                        std::function<void(absl::Status)> done) override {
    const auto container = Find(container_id);
    if (!container.ok()) return done(ContainerNotFound(container_id));
    (*container)->UpdateFromPlugin(resources, plugin, std::move(done));
  }
  void EvictForPlugin(const std::string& container_id, const std::string& reason,
                      const std::string& plugin) override {
    const auto container = Find(container_id);
    if (container.ok()) (*container)->EvictForPlugin(reason, plugin);
  }

  bool serving() const {
    MutexLock lock(mutex_);
    return serving_;
  }

  // INVALID_CONTAINER_ID, CONTAINER_NOT_FOUND.
  absl::StatusOr<std::shared_ptr<Container>> Find(const std::string& id) const;
  static absl::Status CheckId(const std::string& id);
  void Forget(const Container& container);
  std::vector<std::shared_ptr<Container>> AllContainers() const;

  // Counts the operation as under way until it is answered.
  template <class T>
  Done<T> Tracked(Done<T> done) {
    {
      MutexLock lock(mutex_);
      ++under_way_;
    }
    return [this, done = std::move(done)](absl::StatusOr<T> answer) mutable {
      std::exchange(done, nullptr)(std::move(answer));
      MutexLock lock(mutex_);
      if (--under_way_ == 0) idle_.SignalAll();
    };
  }

  bool AwaitIdle(absl::Duration timeout);

  // What every change has in common: serving, request_id, the container.
  template <class T, class Request>
  void Mutate(const Request& request, const Caller& caller, Done<T> done,
              void (Container::*operation)(const Request&, Done<T>)) {
    if (!serving()) return done(NotServing());
    done = Tracked(std::move(done));
    const std::string request_id = RequestIdOf(request);
    if (!request_id.empty()) {
      done = requests_.Begin<T>({caller.identity, request_id, DigestRequest(request)},
                                std::move(done));
      if (done == nullptr) return;
    }
    const auto container = Find(request.container_id());
    if (!container.ok()) return done(container.status());
    ((**container).*operation)(request, std::move(done));
  }

  // Empty where the request has none, or is a dry run, which there is nothing to repeat of.
  template <class Request>
  static std::string RequestIdOf(const Request& request) {
    if constexpr (requires { request.validate_only(); }) {
      if (request.validate_only()) return "";
    }
    if constexpr (requires { request.request_id(); }) return request.request_id();
    return "";
  }

  ManagerParts parts_;
  ThreadPool pool_;
  ThreadPool writers_;
  RequestLog requests_;
  ContainerServices services_;

  mutable Mutex mutex_;
  CondVar idle_;
  bool serving_ ABSL_GUARDED_BY(mutex_) = false;
  size_t under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, std::shared_ptr<Container>> containers_ ABSL_GUARDED_BY(mutex_);
  RecoveryReport recovered_ ABSL_GUARDED_BY(mutex_);
};

absl::Status ContainerManagerImpl::CheckId(const std::string& id) {
  if (IsValidId(id)) return absl::OkStatus();
  absl::Status error = MakeError(absl::StatusCode::kInvalidArgument, "INVALID_CONTAINER_ID",
                                 "container_id: not 1 to 128 letters, digits, '_', '+', '-', '.'");
  AddFieldViolation(error, "container_id", "not a valid id");
  return error;
}

absl::StatusOr<std::shared_ptr<Container>> ContainerManagerImpl::Find(const std::string& id) const {
  const absl::Status valid = CheckId(id);
  if (!valid.ok()) return valid;
  MutexLock lock(mutex_);
  const auto found = containers_.find(id);
  if (found == containers_.end()) return ContainerNotFound(id);
  return found->second;
}

void ContainerManagerImpl::Forget(const Container& container) {
  std::shared_ptr<Container> last;  // dies outside the lock
  MutexLock lock(mutex_);
  const auto found = containers_.find(container.id());
  if (found == containers_.end() || found->second.get() != &container) return;
  last = std::move(found->second);
  containers_.erase(found);
}

std::vector<std::shared_ptr<Container>> ContainerManagerImpl::AllContainers() const {
  std::vector<std::shared_ptr<Container>> all;
  MutexLock lock(mutex_);
  all.reserve(containers_.size());
  for (const auto& [id, container] : containers_) all.push_back(container);
  return all;
}

void ContainerManagerImpl::Create(const v1::CreateContainerRequest& request, const Caller& caller,
                                  Done<v1::Container> done) {
  if (!serving()) return done(NotServing());
  const absl::Status valid = CheckId(request.container_id());
  if (!valid.ok()) return done(valid);
  done = Tracked(std::move(done));
  const std::string request_id = RequestIdOf(request);
  const std::string digest = request_id.empty() ? "" : DigestRequest(request);
  if (!request_id.empty()) {
    done = requests_.Begin<v1::Container>({caller.identity, request_id, digest}, std::move(done));
    if (done == nullptr) return;
  }
  auto container = std::make_shared<Container>(request.container_id(), services_);
  std::shared_ptr<Container> existing;
  {
    MutexLock lock(mutex_);
    const auto found = containers_.find(request.container_id());
    if (found != containers_.end()) {
      existing = found->second;
    } else if (!request.validate_only()) {
      containers_.emplace(request.container_id(), container);
    }
  }
  if (existing == nullptr) return container->Create(request, caller, digest, std::move(done));
  // A retry that outlived what is remembered: the record knows.
  std::string first_id;
  std::string first_digest;
  const std::shared_ptr<const v1::Container> snapshot =
      existing->snapshot(&first_id, &first_digest);
  if (!request_id.empty() && request_id == first_id && snapshot->owner() == caller.identity) {
    if (digest != first_digest) {
      return done(MakeError(
          absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED",
          absl::StrCat("request_id ", request_id, ": was used for a different request")));
    }
    v1::Container view = *snapshot;
    view.clear_config();
    return done(std::move(view));
  }
  done(MakeError(absl::StatusCode::kAlreadyExists, "CONTAINER_EXISTS",
                 absl::StrCat("container ", request.container_id(), ": exists"),
                 {{"container_id", request.container_id()}}));
}

absl::StatusOr<v1::Container> ContainerManagerImpl::Get(
    const v1::GetContainerRequest& request) const {
  const auto container = Find(request.container_id());
  if (!container.ok()) return container.status();
  v1::Container view = *(*container)->snapshot();
  // Reserved by a create that has changed nothing yet, or just deleted.
  if (view.state() == v1::CONTAINER_STATE_UNSPECIFIED) {
    return ContainerNotFound(request.container_id());
  }
  if (request.view() != v1::CONTAINER_VIEW_FULL) view.clear_config();
  (*container)->AddHealth(view);
  return view;
}

absl::StatusOr<v1::ListContainersResponse> ContainerManagerImpl::List(
    const v1::ListContainersRequest& request) const {
  const absl::StatusOr<size_t> size = PageSize(request.page_size());
  if (!size.ok()) return size.status();
  const absl::StatusOr<Filter> filter = Filter::Parse(request.filter(), ContainerFilterKeys());
  if (!filter.ok()) return filter.status();
  const std::string arguments = absl::StrCat("containers\n", request.filter());
  absl::StatusOr<std::string> after = ParsePageToken(request.page_token(), arguments);
  if (!after.ok()) return after.status();

  v1::ListContainersResponse response;
  constexpr size_t kBatch = 256;  // the index is locked for no longer than this takes
  for (;;) {
    std::vector<std::shared_ptr<Container>> batch;
    {
      MutexLock lock(mutex_);
      for (auto entry = containers_.upper_bound(*after);
           entry != containers_.end() && batch.size() < kBatch; ++entry) {
        batch.push_back(entry->second);
      }
    }
    if (batch.empty()) return response;
    for (const std::shared_ptr<Container>& container : batch) {
      *after = container->id();
      const std::shared_ptr<const v1::Container> snapshot = container->snapshot();
      if (snapshot->state() == v1::CONTAINER_STATE_UNSPECIFIED) continue;
      const bool matches = filter->Matches(
          [&](std::string_view key) { return FieldOf(*snapshot, key); });
      if (!matches) continue;
      if (static_cast<size_t>(response.containers_size()) == *size) {
        const auto& last = *response.containers().rbegin();
        response.set_next_page_token(MakePageToken(last.id(), arguments));
        return response;
      }
      v1::Container& view = *response.add_containers();
      view = *snapshot;
      if (request.view() != v1::CONTAINER_VIEW_FULL) view.clear_config();
      container->AddHealth(view);
    }
  }
}

void ContainerManagerImpl::RenderOciSpec(const v1::RenderOciSpecRequest& request,
                                         Done<v1::OciSpecHistory> done) {
  const std::string id = request.container_id().empty() ? "render" : request.container_id();
  const absl::Status valid = CheckId(id);
  if (!valid.ok()) return done(valid);
  pool_.Post([this, request, id, done = Tracked(std::move(done))]() mutable {
    const absl::StatusOr<GeneratedSpec> generated =
        services_.compiler.Generate(id, request.config(), services_.timers.Now(), nullptr);
    if (!generated.ok()) return done(PublicError(generated.status()));
    absl::StatusOr<v1::OciSpecHistory> history = services_.compiler.Describe(
        generated->journal, {.view = request.view(),
                             .include_documents = request.include_documents(),
                             .redact = request.redact()});
    if (!history.ok()) return done(PublicError(history.status()));
    history->set_container_id(request.container_id());
    done(std::move(history));
  });
}

ManagerInfo ContainerManagerImpl::GetInfo() const {
  ManagerInfo info;
  for (const std::shared_ptr<Container>& container : AllContainers()) {
    const v1::ContainerState state = container->snapshot()->state();
    if (state != v1::CONTAINER_STATE_UNSPECIFIED) {
      ++info.containers_by_state[std::string(ContainerStateName(state))];
    }
  }
  const uint64_t lost = parts_.events->lost_events();
  if (lost != 0) info.warnings.push_back(absl::StrCat(lost, " events could not be written"));
  MutexLock lock(mutex_);
  info.quarantined = recovered_.quarantined;
  info.warnings.insert(info.warnings.end(), recovered_.warnings.begin(),
                       recovered_.warnings.end());
  return info;
}

absl::StatusOr<RecoveryReport> ContainerManagerImpl::Recover() {
  const absl::StatusOr<std::vector<std::string>> ids = parts_.store->List();
  if (!ids.ok()) return ids.status();
  RecoveryReport report;
  Mutex report_mutex;
  for (const std::string& id : *ids) {
    {
      MutexLock lock(mutex_);
      ++under_way_;
    }
    pool_.Post([this, id, &report, &report_mutex] {
      auto container = std::make_shared<Container>(id, services_);
      // In the index first: a delete that it asks for finds it there.
      {
        MutexLock lock(mutex_);
        containers_.emplace(id, container);
      }
      std::vector<std::string> warnings;
      const RecoveryAction action = container->Recover(&warnings);
      Log(LogLevel::kInfo, "recovered",
          {{"container", id}, {"action", RecoveryActionName(action)}});
      const bool kept = action != RecoveryAction::kQuarantine &&
                        action != RecoveryAction::kRollBack &&
                        action != RecoveryAction::kFinishDelete;
      if (!kept) Forget(*container);
      {
        MutexLock lock(report_mutex);
        if (action == RecoveryAction::kReattach) ++report.reattached;
        if (action == RecoveryAction::kRollBack) ++report.rolled_back;
        if (action == RecoveryAction::kFinishDelete) ++report.deleted;
        if (kept && action != RecoveryAction::kReattach) ++report.stopped;
        if (action == RecoveryAction::kQuarantine) report.quarantined.push_back(id);
        report.warnings.insert(report.warnings.end(), warnings.begin(), warnings.end());
      }
      MutexLock lock(mutex_);
      if (--under_way_ == 0) idle_.SignalAll();
    });
  }
  AwaitIdle(absl::InfiniteDuration());
  if (services_.networks != nullptr) {
    const absl::Status removed = services_.networks->RemoveUnless([this](const std::string& id) {
      MutexLock lock(mutex_);
      return containers_.contains(id);
    });
    if (!removed.ok()) report.warnings.emplace_back(removed.message());
  }
  for (const std::string& warning : report.warnings) Log(LogLevel::kWarning, warning);
  MutexLock lock(mutex_);
  recovered_ = report;
  serving_ = true;
  return report;
}

bool ContainerManagerImpl::AwaitIdle(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  MutexLock lock(mutex_);
  while (under_way_ != 0) {
    if (timeout == absl::InfiniteDuration()) {
      idle_.Wait(mutex_);
      continue;
    }
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) return false;
    idle_.WaitFor(mutex_, left);
  }
  return true;
}

bool ContainerManagerImpl::Drain(absl::Duration timeout) {
  {
    MutexLock lock(mutex_);
    serving_ = false;
  }
  return AwaitIdle(timeout);
}

}  // namespace

std::unique_ptr<ContainerManager> MakeContainerManager(ManagerParts parts) {
  return std::make_unique<ContainerManagerImpl>(std::move(parts));
}

absl::StatusOr<std::unique_ptr<ContainerManager>> ContainerManager::Open(
    ContainerManagerOptions options) {
  ManagerParts parts;
  absl::StatusOr<std::unique_ptr<RecordStore>> store =
      OpenFileRecordStore({.root_dir = options.root_dir, .state_dir = options.state_dir});
  if (!store.ok()) return store.status();
  EventLogOptions events;
  events.directory = JoinPath(options.root_dir, kEventsName);
  absl::StatusOr<std::unique_ptr<EventLog>> log = EventLog::Open(events);
  if (!log.ok()) return log.status();
  parts.options = std::move(options);
  parts.store = *std::move(store);
  parts.events = *std::move(log);
  parts.timers = MakeTimers();
  absl::StatusOr<std::unique_ptr<OomWatcher>> oom_watcher = OomWatcher::Open(*parts.timers);
  if (!oom_watcher.ok()) return oom_watcher.status();
  parts.oom_watcher = *std::move(oom_watcher);
  absl::StatusOr<std::unique_ptr<PodNetworks>> networks =
      PodNetworks::Open(JoinPath(parts.options.state_dir, kNetworksName));
  if (!networks.ok()) return networks.status();
  parts.networks = *std::move(networks);
  return MakeContainerManager(std::move(parts));
}

}  // namespace ocid
