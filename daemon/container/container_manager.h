// ContainerManager: every container of this daemon, as the public API sees them.
//
// The whole service below gRPC: requests and answers are the public messages, errors carry the reasons
// of proto/ocid/v1/error_reason.proto, and everything container.proto and exec.proto promise about
// states, request_id, validate_only, etag, pages and filters is kept here. What is left to the layer
// above: who may call what, transport limits, streams.
//
//   auto manager = ContainerManager::Open(std::move(options));    // locks and reads the directories
//   (*manager)->Recover();                                        // then SERVING
//   (*manager)->Create(request, caller, [](absl::StatusOr<v1::Container> container) { ... });
//
// Reads (functions that return their answer) look at copy-on-write snapshots: they never wait for an
// operation. Everything else takes a `Done`, which is called exactly once: on a thread of the manager,
// or on the caller's before the function returns; never under a lock. It must not block, and it may
// call the manager. A call does not block either; what takes long runs on the container's lane, in
// order of arrival, and a lane that is full answers RESOURCE_EXHAUSTED, BUSY at once. Waits, and Stop
// during its grace period, hold neither a thread nor the lane.
//
// Before Recover has returned, and after Drain was called, calls that change something answer
// UNAVAILABLE, SHUTTING_DOWN. Containers outlive the manager: destroying it stops none of them.
//
// Ownership: the manager owns its options' collaborators. Thread-safe.
#ifndef OCID_DAEMON_CONTAINER_CONTAINER_MANAGER_H_
#define OCID_DAEMON_CONTAINER_CONTAINER_MANAGER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/base/cancellation.h"
#include "daemon/base/rootfs_provider.h"
#include "proto/ocid/v1/container.pb.h"
#include "proto/ocid/v1/exec.pb.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class CgroupManager;
class EventLog;
struct PluginContext;  // daemon/nri/plugin_context.h
class SpecCompiler;
class SupervisorHost;

template <class T>
using Done = absl::AnyInvocable<void(absl::StatusOr<T>)>;

// Who asks, as the authorizer names them: the owner of what they make. request_ids of different
// callers are different.
struct Caller {
  std::string identity;
};

// A process's streams. The socket carries frames: wrap it into an AttachStream
// (runtime/host/attach_stream.h). Drop it to detach.
struct Attachment {
  UniqueFd stream;
  bool terminal = false;
};

// Where a container's log is: files `log`, `log.1`, ... (older) in `directory`.
struct LogLocation {
  std::string directory;
  v1::ContainerState state = v1::CONTAINER_STATE_UNSPECIFIED;
};

// What SystemService.GetInfo tells about containers.
struct ManagerInfo {
  std::map<std::string, uint32_t> containers_by_state;  // "RUNNING": 3
  std::vector<std::string> quarantined;                 // records set aside at start
  std::vector<std::string> warnings;
};

// What Recover found and did.
struct RecoveryReport {
  uint32_t reattached = 0;   // alive, or stopped with a supervisor that still answers
  uint32_t stopped = 0;      // found ended
  uint32_t rolled_back = 0;  // creates that were never acknowledged
  uint32_t deleted = 0;      // deletes finished
  std::vector<std::string> quarantined;
  std::vector<std::string> warnings;
};

struct ContainerManagerOptions {
  std::string root_dir;   // durable; made with mode 0700 where it is missing
  std::string state_dir;  // of this boot, tmpfs; likewise

  std::unique_ptr<SpecCompiler> compiler;     // daemon/container/spec_compiler.h
  std::unique_ptr<RootfsProvider> rootfs;                // of images; null: there are none
  std::unique_ptr<SupervisorHost> supervisors;
  std::unique_ptr<CgroupManager> cgroups;
  // Outlives the manager, which is its `targets`. Plugins are gone before the manager is. Null: no NRI.
  PluginContext* plugins = nullptr;

  int max_threads = 64;        // operations that may block at the same time
  size_t lane_capacity = 64;   // operations waiting per container
  absl::Duration launch_timeout = absl::Seconds(120);  // of a create or a start, hooks included
  absl::Duration control_timeout = absl::Seconds(10);  // of a supervisor's answer to all else
  absl::Duration kill_timeout = absl::Seconds(10);     // from SIGKILL to UNKILLABLE

  // Is told how long each part of a container's life took: "spec", "rootfs", "cgroup", "plan", "launch"
  // (of a create or another start), "start", "stop", "delete". On the operation's thread; must be short.
  std::function<void(std::string_view phase, absl::Duration duration)> on_phase = nullptr;
};

class ContainerManager {
 public:
  // Takes the locks of both directories (FAILED_PRECONDITION where another daemon has them) and
  // opens the event log. Blocks.
  static absl::StatusOr<std::unique_ptr<ContainerManager>> Open(ContainerManagerOptions options);

  // Waits for operations that are running; their callbacks are called. Waits end with CANCELLED.
  virtual ~ContainerManager() = default;
  ContainerManager(const ContainerManager&) = delete;
  ContainerManager& operator=(const ContainerManager&) = delete;

  // Brings the containers of earlier daemons back, in parallel. Call once. Blocks.
  virtual absl::StatusOr<RecoveryReport> Recover() = 0;

  // Refuses changes from now on and waits until those under way have ended. False after `timeout`.
  // Blocks.
  virtual bool Drain(absl::Duration timeout) = 0;

  // ---- Containers: see ContainerService in container.proto.
  virtual void Create(const v1::CreateContainerRequest& request, const Caller& caller,
                      Done<v1::Container> done) = 0;
  virtual absl::StatusOr<v1::Container> Get(const v1::GetContainerRequest& request) const = 0;
  virtual absl::StatusOr<v1::ListContainersResponse> List(
      const v1::ListContainersRequest& request) const = 0;
  virtual void Update(const v1::UpdateContainerRequest& request, const Caller& caller,
                      Done<v1::Container> done) = 0;
  virtual void Delete(const v1::DeleteContainerRequest& request, const Caller& caller,
                      Done<v1::DeleteContainerResponse> done) = 0;
  virtual void Start(const v1::StartContainerRequest& request, const Caller& caller,
                     Done<v1::Container> done) = 0;
  virtual void Stop(const v1::StopContainerRequest& request, const Caller& caller,
                    Done<v1::Container> done) = 0;
  virtual void Kill(const v1::KillContainerRequest& request, const Caller& caller,
                    Done<v1::KillContainerResponse> done) = 0;
  virtual void Pause(const v1::PauseContainerRequest& request, const Caller& caller,
                     Done<v1::Container> done) = 0;
  virtual void Resume(const v1::ResumeContainerRequest& request, const Caller& caller,
                      Done<v1::Container> done) = 0;
  // `cancellation` may be null; cancelled, `done` gets CANCELLED.
  virtual void Wait(const v1::WaitContainerRequest& request,
                    std::shared_ptr<Cancellation> cancellation,
                    Done<v1::WaitContainerResponse> done) = 0;
  virtual void ListProcesses(const v1::ListProcessesRequest& request,
                             Done<v1::ListProcessesResponse> done) = 0;
  virtual void GetStats(const v1::GetStatsRequest& request, Done<v1::ContainerStats> done) = 0;
  virtual void InspectOciSpec(const v1::InspectOciSpecRequest& request,
                              Done<v1::OciSpecHistory> done) = 0;
  virtual void RenderOciSpec(const v1::RenderOciSpecRequest& request,
                             Done<v1::OciSpecHistory> done) = 0;
  virtual void DetectDrift(const v1::DetectDriftRequest& request,
                           Done<v1::DetectDriftResponse> done) = 0;

  // ---- Execs: see ExecService in exec.proto.
  virtual void CreateExec(const v1::CreateExecRequest& request, const Caller& caller,
                          Done<v1::Exec> done) = 0;
  virtual void StartExec(const v1::StartExecRequest& request, const Caller& caller,
                         Done<v1::Exec> done) = 0;
  virtual absl::StatusOr<v1::Exec> GetExec(const v1::GetExecRequest& request) const = 0;
  virtual absl::StatusOr<v1::ListExecsResponse> ListExecs(
      const v1::ListExecsRequest& request) const = 0;
  virtual void WaitExec(const v1::WaitExecRequest& request,
                        std::shared_ptr<Cancellation> cancellation,
                        Done<v1::WaitExecResponse> done) = 0;
  virtual void KillExec(const v1::KillExecRequest& request, const Caller& caller,
                        Done<v1::KillExecResponse> done) = 0;
  virtual void DeleteExec(const v1::DeleteExecRequest& request, const Caller& caller,
                          Done<v1::DeleteExecResponse> done) = 0;
  virtual void ResizeExec(const v1::ResizeExecRequest& request,
                          Done<v1::ResizeExecResponse> done) = 0;
  // Takes the streams of the exec, or of the main process where `exec_id` is empty, from whoever has
  // them. `start` starts what is CREATED. Attach.signal is KillExec or Kill, Attach.resize is
  // ResizeExec, input and its end go through the stream. The exit's frame carries no OOM flag: ask
  // WaitExec or Wait, which answer at once by then.
  virtual void Attach(const v1::AttachRequest::Open& request, const Caller& caller,
                      Done<Attachment> done) = 0;

  // ---- For other services.
  virtual absl::StatusOr<LogLocation> GetLog(std::string_view container_id) const = 0;
  virtual ManagerInfo GetInfo() const = 0;
  // How many operations wait for their turn, of each container of which some do.
  virtual std::map<std::string, size_t> QueuedOperations() const { return {}; }
  // Outlives no manager. See daemon/events/event_log.h.
  virtual EventLog& events() = 0;

 protected:
  ContainerManager() = default;
};

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_CONTAINER_MANAGER_H_
