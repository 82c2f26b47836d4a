// Container: taken over from an earlier daemon. What is assumed stands in recovery_decision.h.

#include <signal.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"
#include "daemon/container/container.h"
#include "daemon/container/hook_runner.h"
#include "daemon/container/proto_time.h"
#include "daemon/store/store_layout.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

constexpr int kUnknownCode = 255;

// As long as ocictl tries to reach a daemon that went away.
constexpr absl::Duration kAutoDeleteDelay = absl::Seconds(30);

SupervisorFound FoundOf(const SupervisorStatus& status) {
  switch (status.init.state) {
    case ProcessState::kCreated: return SupervisorFound::kInitCreated;
    case ProcessState::kStarting:
    case ProcessState::kRunning: return SupervisorFound::kInitRunning;
    case ProcessState::kExited: return SupervisorFound::kInitExited;
    case ProcessState::kNone: break;
  }
  return SupervisorFound::kNone;
}

std::string CgroupsPathOf(const internal::ContainerRecord& record) {
  if (record.generations().empty()) return "";
  const absl::StatusOr<OciSpec> spec =
      OciSpec::Parse(record.generations().rbegin()->final_spec());
  return spec.ok() ? spec->CgroupsPath() : "";
}

}  // namespace

RecoveryAction Container::Recover(std::vector<std::string>* warnings) {
  RecoveryObservation seen;
  const absl::StatusOr<internal::ContainerRecord> record = services_.store.GetRecord(id_);
  seen.record = record.ok()                           ? RecordFound::kGood
                : absl::IsNotFound(record.status())   ? RecordFound::kNone
                                                      : RecordFound::kUnreadable;
  const absl::StatusOr<internal::RuntimeState> stored = services_.store.GetState(id_);
  const internal::RuntimeState state = stored.ok() ? *stored : internal::RuntimeState();
  seen.state = state.state();
  if (record.ok()) Adopt(*record, state);
  cgroups_path_ = stored.ok() ? state.cgroups_path()
                  : record.ok() ? CgroupsPathOf(*record)
                                : std::string();

  SupervisorStatus status;
  ExitRecord exit_record;
  // Of another boot the state directory may be gone, and the durable one still has the exit record.
  const absl::StatusOr<ContainerDirectories> directories =
      record.ok() ? services_.store.MakeDirectories(id_) : services_.store.OpenDirectories(id_);
  if (directories.ok()) {
    absl::StatusOr<std::shared_ptr<SupervisorHandle>> handle = services_.supervisors.Reattach(
        directories->state, MakeCallbacks(), services_.control_timeout, &status);
    if (handle.ok()) {
      seen.supervisor = FoundOf(status);
      supervisor_identity_ = {.pid = (*handle)->supervisor_pid()};
      SetSupervisor(*std::move(handle));
    }
    seen.exit_record = ReadExitRecord(directories->root.get(), &exit_record) == 0;
  }
  absl::StatusOr<std::unique_ptr<Cgroup>> cgroup = services_.cgroups.Open(id_, cgroups_path_);
  if (cgroup.ok()) {
    cgroup_ = *std::move(cgroup);
    const absl::StatusOr<bool> populated = cgroup_->Populated();
    seen.cgroup_populated = populated.ok() && *populated;
  }

  const RecoveryAction action = DecideRecovery(seen);
  switch (action) {
    case RecoveryAction::kQuarantine: {
      const absl::StatusOr<std::string> aside = services_.store.Quarantine(id_);
      warnings->push_back(absl::StrCat(
          "container ", id_, ": record unreadable (", std::string(record.status().message()),
          "), ", aside.ok() ? absl::StrCat("set aside as ", *aside)
                            : absl::StrCat("and not set aside: ",
                                           std::string(aside.status().message())),
          seen.cgroup_populated ? "; its processes still run" : ""));
      break;
    }
    case RecoveryAction::kRollBack:
    case RecoveryAction::kFinishDelete: {
      const absl::Status removed = RemoveLeftovers();
      if (!removed.ok()) {
        warnings->push_back(absl::StrCat("container ", id_, ": leftovers not removed: ",
                                         std::string(removed.message())));
      }
      break;
    }
    case RecoveryAction::kReattach:
      RecoverAlive(status, state);
      RecoverExecs(&status);
      RecoverHealth(status);
      break;
    case RecoveryAction::kKillOrphan: {
      SetSupervisor(nullptr);
      const absl::Status removed = RemoveCgroup();
      if (!removed.ok()) {
        AddWarning(absl::StrCat("processes without a supervisor could not be killed: ",
                                std::string(removed.message())));
      }
      [[fallthrough]];
    }
    case RecoveryAction::kMarkStopped:
    case RecoveryAction::kMarkLost: {
      v1::ExitStatus exit;
      uint64_t oom_kills = 0;
      if (seen.state == v1::CONTAINER_STATE_STOPPED && state.has_exit_status()) {
        exit = state.exit_status();
      } else if (seen.supervisor == SupervisorFound::kInitExited) {
        exit = ToExitStatus(status.init.exit);
        oom_kills = status.init.exit.oom_kills;
      } else if (seen.exit_record) {
        exit = ToExitStatus(exit_record);
        oom_kills = exit_record.oom_kills;
      } else {
        exit.set_code(kUnknownCode);
        exit.set_reason(stored.ok() ? "the container's supervisor was gone when the daemon started"
                                    : "the host was restarted, or the state directory was lost");
        *exit.mutable_exit_time() = ToTimestamp(services_.timers.Now());
      }
      RecoverExecs(seen.supervisor == SupervisorFound::kInitExited ? &status : nullptr);
      RecoverStopped(std::move(exit), oom_kills, state);
      break;
    }
  }
  return action;
}

void Container::Adopt(const internal::ContainerRecord& record,
                      const internal::RuntimeState& state) {
  *view_.mutable_config() = record.config();
  *view_.mutable_create_time() = record.create_time();
  view_.set_bundle(record.config().bundle());
  view_.set_image(record.config().image());
  *view_.mutable_labels() = record.config().labels();
  view_.set_owner(record.owner());
  view_.set_log_path(JoinPath(services_.store.RootPath(id_), kLogName));
  {
    MutexLock lock(mutex_);
    request_id_ = record.request_id();
    request_digest_ = record.request_digest();
  }
  if (!record.generations().empty()) {
    const internal::Generation& generation = *record.generations().rbegin();
    absl::StatusOr<OciSpec> spec = OciSpec::Parse(generation.final_spec());
    if (spec.ok()) {
      DescribeSpec({*std::move(spec), generation.spec_sha256(), ""});
    } else {
      AddWarning(absl::StrCat("the final spec does not parse: ",
                              std::string(spec.status().message())));
    }
    view_.set_generation(generation.number());
    poststop_due_ = MayHavePoststop(generation.final_spec());
  }
  if (state.generation() > view_.generation()) view_.set_generation(state.generation());
  view_.set_cgroup_path(state.cgroup_path());
  if (state.has_start_time()) *view_.mutable_start_time() = state.start_time();
  for (const std::string& warning : state.warnings()) AddWarning(warning);
  restart_count_ = state.restart_count();
  oom_kills_told_ = state.oom_kills_told();
  last_health_ = {.status = state.health(), .failures = state.health_failures()};
  updated_resources_ = state.updated_resources();
  // ALWAYS means also: after a restart of the daemon.
  stopped_by_request_ =
      (state.stopped_by_request() || record.stopped_by_request()) &&
      record.config().restart_policy().mode() != v1::RestartPolicy::ALWAYS;
}

void Container::RecoverAlive(const SupervisorStatus& status, const internal::RuntimeState& state) {
  init_ = status.init.process;
  view_.set_pid(init_.pid);
  view_.set_supervisor_pid(supervisor_identity_.pid);
  v1::ContainerState now = v1::CONTAINER_STATE_CREATED;
  if (FoundOf(status) == SupervisorFound::kInitRunning) {
    const absl::StatusOr<bool> frozen =
        cgroup_ != nullptr ? cgroup_->Frozen() : absl::StatusOr<bool>(false);
    now = frozen.ok() && *frozen ? v1::CONTAINER_STATE_PAUSED : v1::CONTAINER_STATE_RUNNING;
    if (!view_.has_start_time()) {
      *view_.mutable_start_time() = ToTimestamp(services_.timers.Now());
    }
  }
  const bool stopping = state.state() == v1::CONTAINER_STATE_STOPPING;
  if (stopping) now = v1::CONTAINER_STATE_STOPPING;
  view_.set_state(now);
  RestorePlugins();
  if (now != state.state()) AddEvent(v1::Event::STATE_CHANGED, state.state());
  Publish();
  StoreStateOrLog();
  TellOomKills();
  WatchOomKills();
  if (!stopping) return;
  // The stop that the earlier daemon began goes on where it was.
  kill_time_ = FromTimestamp(state.kill_time());
  const absl::Duration left = kill_time_ - services_.timers.Now();
  lane_->PushAlways(
      [self = shared_from_this(), left](Lane::Turn) { self->ArmKill(left); });
}

void Container::RecoverStopped(v1::ExitStatus exit, uint64_t oom_kills,
                               const internal::RuntimeState& state) {
  const bool news = state.state() != v1::CONTAINER_STATE_STOPPED;
  if (news) exit.set_oom_killed(TellOomKills(oom_kills) > 0);
  view_.set_pid(0);
  view_.set_supervisor_pid(supervisor_identity_.pid);
  *view_.mutable_finish_time() = exit.exit_time();
  *view_.mutable_exit_status() = std::move(exit);
  view_.set_state(v1::CONTAINER_STATE_STOPPED);
  RestorePlugins();
  if (news) AddEvent(v1::Event::STATE_CHANGED, state.state());
  StoreStateOrLog();
  Publish();
  if (view_.config().auto_delete()) {
    // Who ran it in the foreground comes back for its last output and its exit code.
    delete_timer_ = services_.timers.After(
        kAutoDeleteDelay, LaterOnLane([](Container& self) {
          self.delete_timer_ = 0;
          if (self.state() == v1::CONTAINER_STATE_STOPPED) self.AutoDelete();
        }));
    return;
  }
  lane_->PushAlways([self = shared_from_this()](Lane::Turn) { self->ScheduleRestart(); });
}

void Container::RecoverExecs(const SupervisorStatus* status) {
  const absl::StatusOr<std::vector<v1::Exec>> execs = services_.store.GetExecs(id_);
  if (!execs.ok()) return AddWarning("the list of execs could not be read");
  for (v1::Exec exec : *execs) {
    const ExecStatus* known = nullptr;
    for (size_t i = 0; status != nullptr && i < status->execs.size(); ++i) {
      if (status->execs[i].exec_id == exec.id()) known = &status->execs[i];
    }
    if (known != nullptr && known->status.state == ProcessState::kExited) {
      exec.set_state(v1::EXEC_STATE_EXITED);
      exec.set_pid(0);
      *exec.mutable_exit_status() = ToExitStatus(known->status.exit);
    } else if (known != nullptr) {
      exec.set_state(v1::EXEC_STATE_RUNNING);
      exec.set_pid(known->status.process.pid);
      if (!exec.has_start_time()) {
        *exec.mutable_start_time() = ToTimestamp(services_.timers.Now());
      }
    } else if (exec.state() == v1::EXEC_STATE_RUNNING) {
      exec.set_state(v1::EXEC_STATE_EXITED);
      exec.set_pid(0);
      exec.mutable_exit_status()->set_code(kUnknownCode);
      exec.mutable_exit_status()->set_reason("its supervisor is gone");
    }
    const absl::Status added = execs_.Add(std::move(exec));
    if (!added.ok()) Log(LogLevel::kWarning, "recover exec", {{"error", added}});
  }
}

void Container::RecoverHealth(const SupervisorStatus& status) {
  const bool runs = view_.state() == v1::CONTAINER_STATE_RUNNING ||
                    view_.state() == v1::CONTAINER_STATE_PAUSED;
  if (!runs) return;
  HealthState known;
  if (last_health_.status != v1::HEALTH_STATUS_UNSPECIFIED) known = last_health_;
  BeginHealth(known);
  // The earlier daemon's probe, which nobody waits for; its exit, told to the monitor, takes it away.
  const std::shared_ptr<SupervisorHandle> handle = supervisor();
  for (const ExecStatus& exec : status.execs) {
    if (!HealthMonitor::IsProbe(exec.exec_id) || handle == nullptr) continue;
    (void)(exec.status.state == ProcessState::kExited
               ? handle->RemoveExec(exec.exec_id, services_.control_timeout)
               : handle->SignalExec(exec.exec_id, SIGKILL, services_.control_timeout));
  }
}

absl::Status Container::RemoveLeftovers() {
  const std::shared_ptr<SupervisorHandle> handle = supervisor();
  if (handle != nullptr) {
    const absl::Status killed = handle->KillSupervisor();
    if (!killed.ok()) return killed;
    SetSupervisor(nullptr);
  }
  const absl::Status removed = RemoveCgroup();
  if (!removed.ok()) return removed;
  RunPoststop();
  return RemoveFiles();
}

}  // namespace ocid
