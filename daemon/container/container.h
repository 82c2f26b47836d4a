// Container: one container of the daemon, from its create to its delete.
//
// Requests come in on any thread and are put on the container's lane, where one operation at a time
// changes it; what happens by itself (an exit, a timer, a lost supervisor) comes the same way. What
// others read is a snapshot, replaced as a whole. Every change of the state is one event in the event
// log, and an intent is in the state file before its first effect.
//
// The members' comments say which thread may touch them: "lane" is whoever holds the lane's turn.
// One class in several files, by what is asked of it: container_create.cc, _run.cc, _stop.cc,
// _delete.cc, _update.cc, _observe.cc, _exec.cc, _recover.cc, _plugins.cc, _health.cc.
//
// Owned by shared_ptr: the manager's index, operations under way, and weakly by callbacks. Thread-safe.
#ifndef OCID_DAEMON_CONTAINER_CONTAINER_H_
#define OCID_DAEMON_CONTAINER_CONTAINER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "daemon/base/thread_pool.h"
#include "daemon/base/timers.h"
#include "daemon/container/container_manager.h"
#include "daemon/container/exec_table.h"
#include "daemon/container/guest_queue.h"
#include "daemon/container/health_monitor.h"
#include "daemon/base/rootfs_provider.h"
#include "daemon/container/lane.h"
#include "daemon/container/lifecycle.h"
#include "daemon/container/oom_watcher.h"
#include "daemon/container/recovery_decision.h"
#include "daemon/container/spec_compiler.h"
#include "daemon/events/event_log.h"
#include "daemon/nri/plugin_pod.h"
#include "daemon/nri/pod_networks.h"
#include "daemon/store/record_store.h"
#include "proto/internal/record.pb.h"
#include "runtime/base/mutex.h"
#include "runtime/cgroup/cgroup_manager.h"
#include "runtime/host/supervisor_handle.h"

namespace ocid {

class Container;

// What containers work with. The manager owns it all and outlives them.
struct ContainerServices {
  RecordStore& store;
  EventLog& events;
  const SpecCompiler& compiler;
  RootfsProvider* rootfs;  // may be null
  PluginContext* plugins;  // null: there is no NRI
  PodNetworks* networks;   // of plugins' pods; may be null
  SupervisorHost& supervisors;
  CgroupManager& cgroups;
  OomWatcher* oom_watcher;  // may be null
  Timers& timers;
  ThreadPool& pool;     // operations
  ThreadPool& writers;  // durable writes alone: an operation may wait for one
  size_t lane_capacity = 0;
  absl::Duration launch_timeout;
  absl::Duration control_timeout;
  absl::Duration kill_timeout;
  std::string etag_prefix;  // of this daemon's life
  // Takes a container that is gone out of the index, if it is the one there.
  std::function<void(const Container& container)> forget;
  // See ContainerManagerOptions; may be null.
  std::function<void(std::string_view phase, absl::Duration duration)> on_phase;
  // No new processes from now on.
  std::atomic<bool> closing{false};
};

class Container : public std::enable_shared_from_this<Container> {
 public:
  Container(std::string id, ContainerServices& services);

  const std::string& id() const { return id_; }
  size_t queued_operations() const { return lane_->waiting(); }

  // ---- Reads, on any thread.
  std::shared_ptr<const v1::Container> snapshot() const;
  std::shared_ptr<const v1::Container> snapshot(std::string* request_id,
                                                std::string* request_digest) const;
  // Into a view that was made of a snapshot: what health checks find is none of its changes.
  void AddHealth(v1::Container& view) const;
  absl::StatusOr<v1::Exec> GetExec(const std::string& exec_id) const;
  absl::StatusOr<v1::ListExecsResponse> ListExecs(const v1::ListExecsRequest& request) const;

  // ---- Operations, on any thread; see ContainerManager.
  void Create(const v1::CreateContainerRequest& request, const Caller& caller, std::string digest,
              Done<v1::Container> done);
  void Start(const v1::StartContainerRequest& request, Done<v1::Container> done);
  void Stop(const v1::StopContainerRequest& request, Done<v1::Container> done);
  void Kill(const v1::KillContainerRequest& request, Done<v1::KillContainerResponse> done);
  void Pause(const v1::PauseContainerRequest& request, Done<v1::Container> done);
  void Resume(const v1::ResumeContainerRequest& request, Done<v1::Container> done);
  void Update(const v1::UpdateContainerRequest& request, Done<v1::Container> done);
  void Delete(const v1::DeleteContainerRequest& request,
              Done<v1::DeleteContainerResponse> done);
  void Wait(std::shared_ptr<Cancellation> cancellation, Done<v1::WaitContainerResponse> done);
  void ListProcesses(Done<v1::ListProcessesResponse> done);
  void GetStats(Done<v1::ContainerStats> done);
  void InspectOciSpec(const v1::InspectOciSpecRequest& request, Done<v1::OciSpecHistory> done);
  void DetectDrift(const v1::DetectDriftRequest& request, Done<v1::DetectDriftResponse> done);

  void CreateExec(const v1::CreateExecRequest& request, Done<v1::Exec> done);
  void StartExec(const v1::StartExecRequest& request, Done<v1::Exec> done);
  void WaitExec(const std::string& exec_id, std::shared_ptr<Cancellation> cancellation,
                Done<v1::WaitExecResponse> done);
  void KillExec(const v1::KillExecRequest& request, Done<v1::KillExecResponse> done);
  void DeleteExec(const v1::DeleteExecRequest& request, Done<v1::DeleteExecResponse> done);
  void ResizeExec(const v1::ResizeExecRequest& request, Done<v1::ResizeExecResponse> done);
  void Attach(const v1::AttachRequest::Open& request, Done<Attachment> done);

  // ---- For plugins, on any thread; see PluginTargets.
  void UpdateFromPlugin(const nri::LinuxResources& resources, const std::string& plugin,
                        std::function<void(absl::Status)> done);
  void EvictForPlugin(const std::string& reason, const std::string& plugin);

  // ---- For the manager.
  // Looks at what an earlier daemon left, decides and acts. Blocks. Before any other call.
  RecoveryAction Recover(std::vector<std::string>* warnings);
  // Answers everybody who waits here: CANCELLED, or UNAVAILABLE for a Stop or Delete in its grace.
  void Abandon();

 private:
  static constexpr size_t kMaxGuests = 64;

  struct Waiter {
    Done<v1::WaitContainerResponse> done;
    std::shared_ptr<Cancellation> cancellation;
  };

  // ---- container.cc
  // Runs `operation(container, turn, done)` on the lane, or answers BUSY.
  template <class T, class Operation>
  void OnLane(Done<T> done, Operation operation) {
    auto shared = std::make_shared<Done<T>>(std::move(done));
    const bool pushed = lane_->Push([self = shared_from_this(), shared,
                                     operation = std::move(operation)](Lane::Turn turn) mutable {
      operation(*self, std::move(turn), std::move(*shared));
    });
    if (!pushed) (*shared)(BusyError());
  }
  // The same for what must not be refused, and has nobody to answer to. Does not keep the container.
  // Tells how long something took that began then.
  void PhaseEnded(std::string_view phase, absl::Time begin) const {
    if (services_.on_phase) services_.on_phase(phase, absl::Now() - begin);
  }

  std::function<void()> LaterOnLane(std::function<void(Container&)> operation);
  absl::Status BusyError() const;
  absl::Status GoneError() const;
  v1::ContainerState state() const { return view_.state(); }  // lane

  // Whether `event` is legal now. Changes nothing.
  absl::Status Check(LifecycleEvent event) const;
  // OK, or why there is nothing to observe while a create or a start has the lane: who asks need not
  // wait for its end to be told so. On any thread.
  absl::Status CheckObservable() const;
  // Stores the state that `event` leads to before any effect, then publishes it.
  absl::Status Intend(LifecycleEvent event);
  // Publishes the state that `event` has led to, then stores it.
  void Commit(LifecycleEvent event);
  void Publish();                      // the snapshot, with a new etag
  absl::Status StoreState(v1::ContainerState state);
  void StoreStateOrLog();
  void AddEvent(v1::Event::Type type, v1::ContainerState previous);
  void AddWarning(const std::string& warning);
  void AnswerWaiters(const absl::StatusOr<v1::WaitContainerResponse>& answer);
  v1::Container BasicView() const;     // without `config`
  absl::StatusOr<v1::Container> ViewOr(const absl::Status& error) const;  // the view if `error` is OK

  // ---- container_create.cc
  absl::StatusOr<v1::Container> DoCreate(const v1::CreateContainerRequest& request,
                                         const Caller& caller, const std::string& digest);
  // Makes this generation's cgroup and supervisor while the record becomes durable. On failure
  // nothing of it is left but the directories.
  absl::Status Launch(const GeneratedSpec& generated, internal::ContainerRecord record);
  void DescribeSpec(const GeneratedSpec& generated);
  SupervisorCallbacks MakeCallbacks();

  // ---- container_run.cc
  absl::Status DoStart();
  absl::Status PrepareGeneration();  // of a stopped container: all anew, up to the start gate
  void FailStart(const absl::Status& status);
  void HandleExit(uint32_t generation, const ExitRecord& record);
  void HandleLost(uint32_t generation);
  // `oom_kills`: as the exit record has it, or 0.
  void FinishExit(v1::ExitStatus exit, uint64_t oom_kills);
  v1::ExitStatus ToExitStatus(const ExitRecord& record) const;
  void RememberStopped();
  void ScheduleRestart();
  void AutoDelete();
  void CancelRestart();
  void CancelDelete();
  void WatchOomKills();
  // Tells of kills for lack of memory that no event has told of yet. How many there were in all;
  // `recorded`: what the exit record says.
  uint64_t TellOomKills(uint64_t recorded = 0);
  // Everything of the generation that is over: supervisor, cgroup.
  absl::Status ReleaseRuntime();
  absl::Status RemoveCgroup();
  void RunPoststop();
  void RemoveResctrl();

  // ---- container_stop.cc
  absl::Status SendSignal(int signal);
  absl::Status KillEverything();
  void ArmKill(absl::Duration grace);
  void KillTimeUp(uint32_t generation);
  void KillDeadlineUp(uint32_t generation);
  void DisarmTimers();
  // Around a create or a start, from before its state says so. What was aborted too late to fail is
  // killed at the end.
  void BeginLaunch();
  void EndLaunch();
  // Ends a create or start that is under way; false where none is. On any thread.
  bool AbortLaunch();
  // Likewise of a start, when `grace` is over and `while_alive` has not gone.
  void AbortStartAfter(absl::Duration grace, const std::weak_ptr<const char>& while_alive);
  void SetAbortLaunch(const std::function<void()>& abort);
  absl::Status UnkillableError();

  // ---- container_delete.cc
  void FinishDelete();
  absl::Status RemoveEverything();
  absl::Status RemoveFiles();
  void AnswerDeletes(const absl::Status& status);

  // ---- container_exec.cc
  struct LaunchedExec {
    v1::Exec exec;
    UniqueFd stream;  // where it was attached
  };
  // Of an exec that is starting. Ends the turn as soon as it does not need the lane any more.
  absl::StatusOr<LaunchedExec> LaunchExec(Lane::Turn turn, const std::string& exec_id, bool attach);
  absl::StatusOr<Attachment> AttachInit(Lane::Turn turn, const v1::AttachRequest::Open& request);
  absl::StatusOr<Attachment> AttachExec(Lane::Turn turn, const v1::AttachRequest::Open& request);
  void HandleExecExit(const std::string& exec_id, const ExitRecord& record);
  void DropSurplusExecs();
  void FinishExec(const std::string& exec_id, const v1::ExitStatus& exit);
  void DropExec(const std::string& exec_id);
  absl::StatusOr<std::shared_ptr<const OciSpec>> ParsedSpec();
  // Descriptors of its own for who launches a process later.
  void LendCgroup(UniqueFd* cgroup2, std::vector<UniqueFd>* cgroup1) const;
  std::shared_ptr<SupervisorHandle> supervisor() const;
  void SetSupervisor(std::shared_ptr<SupervisorHandle> supervisor);
  absl::StatusOr<std::shared_ptr<SupervisorHandle>> NeedSupervisor() const;

  // ---- container_health.cc
  // From now on the health check of the config runs, if there is one.
  void BeginHealth(const HealthState& known);
  void EndHealth();
  std::shared_ptr<HealthMonitor> health() const;
  void HandleLogState(const LogState& state);

  // ---- container_plugins.cc
  // Waits for plugins in `call`. They may change the container meanwhile.
  template <class Call>
  void Lent(Call call) {
    guests_.Lend();
    call();
    guests_.TakeBack();
  }
  PluginSubject SubjectOf(const v1::ContainerConfig& config) const;
  NriState StateForPlugins() const;
  // The plugins of a create; null: nobody is to be asked. EndPlugins where it fails.
  absl::StatusOr<PluginCalls*> BeginPlugins(const v1::ContainerConfig& config);
  void EndPlugins();
  // After a create or a start has been answered.
  void TellCreated();
  void TellStarted();
  void RestorePlugins();
  void KeepAnswers(internal::ContainerRecord& record);
  std::unique_ptr<PluginCalls> RecordedPlugins(const internal::ContainerRecord& record) const;
  // What an update is to set, when plugins have had their say.
  absl::StatusOr<nlohmann::json> AskPluginsToUpdate(const nlohmann::json& resources);
  absl::Status ApplyFromPlugin(const nri::LinuxResources& resources, const std::string& plugin);
  // ---- container_observe.cc: without the lane
  absl::StatusOr<v1::DetectDriftResponse> AskForDrift(DriftQuestion question, uint32_t generation);
  void AnnounceDrift(const v1::DetectDriftResponse& found, uint32_t generation);

  // ---- container_update.cc
  // The cgroup's, by a caller or a plugin; kept for who compares the kernel with what was asked.
  absl::Status UpdateCgroup(const nlohmann::json& resources);

  // ---- container_recover.cc
  void Adopt(const internal::ContainerRecord& record, const internal::RuntimeState& state);
  void RecoverAlive(const SupervisorStatus& status, const internal::RuntimeState& state);
  void RecoverStopped(v1::ExitStatus exit, uint64_t oom_kills, const internal::RuntimeState& state);
  void RecoverExecs(const SupervisorStatus* status);
  void RecoverHealth(const SupervisorStatus& status);
  absl::Status RemoveLeftovers();

  const std::string id_;
  ContainerServices& services_;
  const std::shared_ptr<Lane> lane_;

  // ---- Lane.
  v1::Container view_;                 // what snapshots are made of, with `config`
  std::shared_ptr<const std::string> spec_text_ = std::make_shared<std::string>();  // final, canonical
  std::shared_ptr<const OciSpec> spec_;  // the same, parsed by the first exec
  std::string cgroups_path_;           // linux.cgroupsPath of the final spec
  std::unique_ptr<Cgroup> cgroup_;     // null: none
  ProcessIdentity init_;
  ProcessIdentity supervisor_identity_;
  absl::Time kill_time_ = absl::InfiniteFuture();
  bool stopped_by_request_ = false;
  HealthState last_health_ = {.status = v1::HEALTH_STATUS_UNSPECIFIED};  // that was stored
  uint32_t restart_count_ = 0;         // in a row
  uint64_t revision_ = 0;
  TimerId kill_timer_ = 0;             // grace, then the wait for the killed
  TimerId restart_timer_ = 0;
  TimerId delete_timer_ = 0;           // of an auto_delete that waits for who waits
  std::vector<Done<v1::Container>> stops_;
  std::vector<Done<v1::DeleteContainerResponse>> deletes_;
  uint64_t oom_kills_told_ = 0;        // of this generation, by events
  OomWatcher::Id oom_watch_ = 0;
  // Of this generation, set by the watcher's thread; null: nobody watches.
  std::shared_ptr<const std::atomic<uint64_t>> oom_kills_seen_;
  std::string updated_resources_;      // of this generation's cgroup: see RuntimeState
  bool poststop_due_ = false;          // this generation's setup was done
  std::unique_ptr<PluginPod> pod_;     // null: plugins are told nothing

  ExecTable execs_;  // locks itself
  GuestQueue guests_{kMaxGuests};  // likewise

  // ---- Any thread.
  mutable Mutex mutex_;
  std::shared_ptr<const v1::Container> snapshot_ ABSL_GUARDED_BY(mutex_);
  std::string request_id_ ABSL_GUARDED_BY(mutex_);      // of Create
  std::string request_digest_ ABSL_GUARDED_BY(mutex_);
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<uint64_t, Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_waiter_ ABSL_GUARDED_BY(mutex_) = 0;
  std::shared_ptr<SupervisorHandle> supervisor_ ABSL_GUARDED_BY(mutex_);  // null: none
  std::shared_ptr<HealthMonitor> health_ ABSL_GUARDED_BY(mutex_);  // null: none runs
  bool launching_ ABSL_GUARDED_BY(mutex_) = false;  // a create or start is under way,
  bool abort_asked_ ABSL_GUARDED_BY(mutex_) = false;  // and is to end,
  std::function<void()> abort_launch_ ABSL_GUARDED_BY(mutex_);  // by this; null: nothing to end yet
  std::string last_drifts_ ABSL_GUARDED_BY(mutex_);  // what the last look for drift found
};

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_CONTAINER_H_
