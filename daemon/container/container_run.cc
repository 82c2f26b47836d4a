// Container: starts, exits, and starts again.

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"
#include "daemon/container/container.h"
#include "daemon/container/hook_runner.h"
#include "daemon/container/proto_time.h"
#include "daemon/container/public_error.h"
#include "daemon/container/restart_policy.h"
#include "runtime/base/error_details.h"
#include "runtime/plan/launch_host.h"

namespace ocid {
namespace {

// What a shell gives: 127 where there is no such program, 126 where it could not be run.
constexpr int kNotFoundCode = 127;
constexpr int kNotRunCode = 126;
constexpr int kUnknownCode = 255;

// The first generation and the newest: a crash loop must not grow the record without end.
constexpr int kMaxGenerations = 16;

void TrimGenerations(internal::ContainerRecord& record) {
  auto& generations = *record.mutable_generations();
  while (generations.size() >= kMaxGenerations) generations.DeleteSubrange(1, 1);
  for (internal::Generation& generation : generations) generation.clear_final_spec();
}

}  // namespace

void Container::Start(const v1::StartContainerRequest& request, Done<v1::Container> callback) {
  OnLane(std::move(callback), [validate_only = request.validate_only()](
                              Container& self, Lane::Turn turn, Done<v1::Container> done) {
    absl::Status status = self.Check(LifecycleEvent::kStart);
    if (status.ok() && !validate_only) {
      self.CancelRestart();
      self.restart_count_ = 0;
      status = self.DoStart();
    }
    done(self.ViewOr(status));
    if (status.ok() && !validate_only) self.TellStarted();
    turn.End();
  });
}

absl::Status Container::DoStart() {
  if (services_.closing) {
    return MakeError(absl::StatusCode::kUnavailable, "SHUTTING_DOWN", "the daemon shuts down");
  }
  const bool again = state() == v1::CONTAINER_STATE_STOPPED;
  BeginLaunch();
  const absl::Cleanup launch_over = [this] { EndLaunch(); };
  const absl::Status intended = Intend(LifecycleEvent::kStart);
  if (!intended.ok()) return intended;
  absl::Status status = again ? PrepareGeneration() : absl::OkStatus();
  if (status.ok() && pod_ != nullptr) {
    Lent([&] { status = pod_->Starting(again ? spec_text_ : nullptr, StateForPlugins()); });
  }
  if (status.ok()) {
    const absl::StatusOr<std::shared_ptr<SupervisorHandle>> handle = NeedSupervisor();
    const absl::Time begin = absl::Now();
    if (handle.ok()) {
      SetAbortLaunch([supervisor = *handle] { (void)supervisor->KillSupervisor(); });
      status = (*handle)->Start(services_.launch_timeout);
      SetAbortLaunch(nullptr);
    } else {
      status = handle.status();
    }
    PhaseEnded("start", begin);
  }
  if (!status.ok()) {
    FailStart(PublicError(status));
    return status;
  }
  stopped_by_request_ = false;
  *view_.mutable_start_time() = ToTimestamp(services_.timers.Now());
  Commit(LifecycleEvent::kStarted);
  last_health_ = {.status = v1::HEALTH_STATUS_UNSPECIFIED};
  BeginHealth(HealthState());
  return absl::OkStatus();
}

absl::Status Container::PrepareGeneration() {
  const absl::Status released = ReleaseRuntime();
  if (!released.ok()) return released;
  absl::StatusOr<internal::ContainerRecord> record = services_.store.GetRecord(id_);
  if (!record.ok()) return record.status();
  const std::unique_ptr<PluginCalls> recorded = RecordedPlugins(*record);
  const absl::Time begin = absl::Now();
  const absl::StatusOr<GeneratedSpec> generated = services_.compiler.Generate(
      id_, view_.config(), FromTimestamp(view_.create_time()), recorded.get());
  PhaseEnded("spec", begin);
  if (!generated.ok()) return generated.status();
  // From here on an old exit must not be taken for this generation's.
  const absl::Status removed = services_.store.RemoveExitRecord(id_);
  if (!removed.ok()) return removed;
  view_.set_generation(view_.generation() + 1);
  view_.clear_start_time();
  view_.clear_finish_time();
  view_.clear_exit_status();
  view_.clear_warnings();
  DescribeSpec(*generated);
  const absl::Status stored = StoreState(state());
  if (!stored.ok()) return stored;
  TrimGenerations(*record);
  record->clear_stopped_by_request();
  const absl::Status launched = Launch(*generated, *std::move(record));
  if (!launched.ok()) RunPoststop();
  return launched;
}

void Container::FailStart(const absl::Status& status) {
  // The supervisor has ended the init, unless it did not answer in time.
  const absl::Status killed = init_.pid != 0 ? KillEverything() : absl::OkStatus();
  if (!killed.ok()) {
    Log(LogLevel::kWarning, "start: kill after a failure",
        {{"container", id_}, {"error", killed}});
  }
  v1::ExitStatus exit;
  exit.set_code(GetReason(status) == "EXECUTABLE_NOT_FOUND" ? kNotFoundCode : kNotRunCode);
  exit.set_known(true);
  exit.set_reason(std::string(status.message()));
  *exit.mutable_exit_time() = ToTimestamp(services_.timers.Now());
  view_.set_pid(0);
  init_ = {};
  *view_.mutable_finish_time() = exit.exit_time();
  *view_.mutable_exit_status() = exit;
  Commit(LifecycleEvent::kStartFailed);
  v1::WaitContainerResponse answer;
  *answer.mutable_exit_status() = std::move(exit);
  answer.set_generation(view_.generation());
  AnswerWaiters(answer);
  if (pod_ != nullptr) Lent([this] { pod_->Stopped(StateForPlugins()); });
}

v1::ExitStatus Container::ToExitStatus(const ExitRecord& record) const {
  v1::ExitStatus exit;
  exit.set_code(ExitCode(record));
  exit.set_signal(record.signal);
  exit.set_core_dumped(record.core_dumped != 0);
  exit.set_known(true);
  *exit.mutable_exit_time() = ToTimestamp(record.time_unix_ns);
  return exit;
}

void Container::HandleExit(uint32_t generation, const ExitRecord& record) {
  // A start that failed has said all there is, and a lost supervisor's record was read already.
  if (generation != view_.generation() || !NextState(state(), LifecycleEvent::kExit).ok()) return;
  FinishExit(ToExitStatus(record), record.oom_kills);
}

void Container::HandleLost(uint32_t generation) {
  if (generation != view_.generation()) return;
  SetSupervisor(nullptr);
  if (!NextState(state(), LifecycleEvent::kExit).ok()) return;
  // Nobody reads its output or its exit any more.
  const absl::Status killed = KillEverything();
  if (!killed.ok()) {
    Log(LogLevel::kWarning, "supervisor lost: kill", {{"container", id_}, {"error", killed}});
  }
  const absl::StatusOr<ContainerDirectories> directories = services_.store.OpenDirectories(id_);
  ExitRecord record;
  if (directories.ok() && ReadExitRecord(directories->root.get(), &record) == 0) {
    return FinishExit(ToExitStatus(record), record.oom_kills);
  }
  v1::ExitStatus exit;
  exit.set_code(kUnknownCode);
  exit.set_reason("the container's supervisor ended unexpectedly");
  *exit.mutable_exit_time() = ToTimestamp(services_.timers.Now());
  AddWarning("the supervisor ended unexpectedly; the container was killed");
  FinishExit(std::move(exit), /*oom_kills=*/0);
}

void Container::FinishExit(v1::ExitStatus exit, uint64_t oom_kills) {
  DisarmTimers();
  EndHealth();
  exit.set_oom_killed(TellOomKills(oom_kills) > 0);
  if (cgroup_ != nullptr && cgroup_->exists()) {
    // Without a pid namespace of its own, what the init started may live on.
    const absl::StatusOr<bool> populated = cgroup_->Populated();
    if (populated.ok() && *populated) (void)cgroup_->Kill();  // Remove tells what did not die
  }
  view_.set_pid(0);
  init_ = {};
  *view_.mutable_finish_time() = exit.exit_time();
  *view_.mutable_exit_status() = exit;
  const bool deleting = state() == v1::CONTAINER_STATE_DELETING;
  Commit(LifecycleEvent::kExit);
  v1::WaitContainerResponse answer;
  *answer.mutable_exit_status() = exit;
  answer.set_generation(view_.generation());
  AnswerWaiters(answer);
  // Those that shared the container's pid namespace are gone with it; their own exits may follow.
  for (const std::string& exec_id : execs_.Unfinished()) {
    v1::ExitStatus killed;
    killed.set_code(128 + 9);
    killed.set_signal(9);
    killed.set_known(false);
    killed.set_reason("the container stopped");
    *killed.mutable_exit_time() = exit.exit_time();
    if (supervisor() == nullptr) FinishExec(exec_id, killed);
  }
  if (pod_ != nullptr) Lent([this] { pod_->Stopped(StateForPlugins()); });
  if (deleting) return FinishDelete();
  RememberStopped();
  for (Done<v1::Container>& done : std::exchange(stops_, {})) done(BasicView());
  if (view_.config().auto_delete()) return AutoDelete();
  ScheduleRestart();
}

void Container::AutoDelete() {
  v1::DeleteContainerRequest request;
  request.set_container_id(id_);
  Delete(request, [id = id_](const absl::StatusOr<v1::DeleteContainerResponse>& deleted) {
    if (deleted.ok() || absl::IsNotFound(deleted.status())) return;
    Log(LogLevel::kWarning, "auto delete", {{"container", id}, {"error", deleted.status()}});
  });
}

// UNLESS_STOPPED has to know after the next boot; nobody else pays for a durable write.
void Container::RememberStopped() {
  const bool matters =
      view_.config().restart_policy().mode() == v1::RestartPolicy::UNLESS_STOPPED;
  if (!matters || !stopped_by_request_) return;
  absl::StatusOr<internal::ContainerRecord> record = services_.store.GetRecord(id_);
  absl::Status stored = record.status();
  if (record.ok()) {
    record->set_stopped_by_request(true);
    stored = services_.store.PutRecord(*record);
  }
  if (stored.ok()) return;
  Log(LogLevel::kWarning, "stop: not remembered", {{"container", id_}, {"error", stored}});
}

void Container::ScheduleRestart() {
  if (services_.closing) return;
  StoppedRun run;
  run.exit_code = view_.exit_status().code();
  run.by_request = stopped_by_request_;
  if (view_.has_start_time()) {
    run.run_time = FromTimestamp(view_.finish_time()) - FromTimestamp(view_.start_time());
  }
  run.restarts_in_a_row = restart_count_;
  const std::optional<RestartDecision> decision =
      DecideRestart(view_.config().restart_policy(), run);
  if (!decision.has_value()) return;
  restart_count_ = decision->restarts_in_a_row;
  restart_timer_ = services_.timers.After(decision->delay, LaterOnLane([](Container& self) {
    if (std::exchange(self.restart_timer_, 0) == 0) return;  // cancelled when it was under way
    if (self.state() != v1::CONTAINER_STATE_STOPPED) return;
    const absl::Status started = self.DoStart();
    if (started.ok()) return self.TellStarted();
    Log(LogLevel::kWarning, "restart", {{"container", self.id_}, {"error", started}});
    self.ScheduleRestart();
  }));
}

void Container::CancelRestart() {
  const TimerId timer = std::exchange(restart_timer_, 0);
  if (timer != 0) services_.timers.Cancel(timer);
}

void Container::CancelDelete() {
  const TimerId timer = std::exchange(delete_timer_, 0);
  if (timer != 0) services_.timers.Cancel(timer);
}

absl::Status Container::ReleaseRuntime() {
  const std::shared_ptr<SupervisorHandle> handle = supervisor();
  if (handle != nullptr) {
    const absl::Status ended = handle->Shutdown(services_.control_timeout);
    // It holds nothing any more that could be lost; what does not answer is killed.
    if (!ended.ok()) {
      const absl::Status killed = handle->KillSupervisor();
      if (!killed.ok()) return killed;
    }
    SetSupervisor(nullptr);
    supervisor_identity_ = {};
    view_.set_supervisor_pid(0);
  }
  const absl::Status removed = RemoveCgroup();
  if (!removed.ok()) return removed;
  RemoveResctrl();
  RunPoststop();
  return absl::OkStatus();
}

// What linux.intelRdt made on the host; few specs have it.
void Container::RemoveResctrl() {
  if (spec_text_->find("\"intelRdt\"") == std::string::npos) return;
  const absl::StatusOr<OciSpec> spec = OciSpec::Parse(*spec_text_);
  if (spec.ok()) RemoveResctrlGroups(spec->json(), id_);
}

absl::Status Container::RemoveCgroup() {
  if (cgroup_ == nullptr) return absl::OkStatus();
  if (services_.oom_watcher != nullptr) services_.oom_watcher->Unwatch(oom_watch_);
  oom_watch_ = 0;
  const absl::Status removed = cgroup_->Remove(services_.kill_timeout);
  if (removed.ok()) cgroup_.reset();
  return removed;
}

void Container::WatchOomKills() {
  if (services_.oom_watcher == nullptr || cgroup_ == nullptr) return;
  const auto seen = std::make_shared<std::atomic<uint64_t>>(0);
  const std::function<void()> later = LaterOnLane([seen](Container& self) {
    if (seen == self.oom_kills_seen_ && IsAlive(self.state())) self.TellOomKills();
  });
  const absl::StatusOr<OomWatcher::Id> watch =
      services_.oom_watcher->Watch(cgroup_->Paths(), [seen, later](uint64_t kills) {
        if (seen->exchange(kills) != kills) later();
      });
  oom_kills_seen_ = seen;
  if (watch.ok()) {
    oom_watch_ = *watch;
  } else {
    Log(LogLevel::kWarning, "OOM kills are seen at the exit only",
        {{"container", id_}, {"error", watch.status()}});
  }
}

uint64_t Container::TellOomKills(uint64_t recorded) {
  // systemd may have removed the cgroup already, and the kernel's count with it.
  const bool countable = cgroup_ != nullptr && cgroup_->exists();
  const uint64_t counted = countable ? cgroup_->OomKillCount().value_or(0) : 0;
  const uint64_t seen = oom_kills_seen_ != nullptr ? oom_kills_seen_->load() : 0;
  const uint64_t kills = std::max({recorded, counted, seen, oom_kills_told_});
  if (kills > oom_kills_told_) {
    oom_kills_told_ = kills;
    AddEvent(v1::Event::OOM, state());
    StoreStateOrLog();
  }
  return kills;
}

// runtime-spec, lifecycle: after everything of the container is gone, before the delete returns; a
// failure is a warning.
void Container::RunPoststop() {
  if (!std::exchange(poststop_due_, false)) return;
  const absl::StatusOr<OciSpec> spec = OciSpec::Parse(*spec_text_);
  if (!spec.ok()) return;
  for (const absl::Status& failure :
       RunPoststopHooks(*spec, id_, view_.bundle(), services_.launch_timeout)) {
    Log(LogLevel::kWarning, "poststop", {{"container", id_}, {"error", failure}});
  }
}

}  // namespace ocid
