// FakeContainerManager: a ContainerManager without containers, for tests of what stands above it.
//
// Containers are what Put says. Waits and operations are held back until the test lets them go. The
// rest answers UNIMPLEMENTED. Thread-safe.
#ifndef OCID_DAEMON_FAKE_CONTAINER_MANAGER_H_
#define OCID_DAEMON_FAKE_CONTAINER_MANAGER_H_

#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/container/container_manager.h"
#include "daemon/events/event_log.h"
#include "runtime/base/error_details.h"
#include "runtime/base/mutex.h"

namespace ocid {

class FakeContainerManager final : public ContainerManager {
 public:
  // `directory` is for logs and events.
  explicit FakeContainerManager(const std::string& directory)
      : directory_(directory), events_(*EventLog::Open({.directory = directory + "/events"})) {}

  void Put(const std::string& id, v1::ContainerState state) {
    const MutexLock lock(mutex_);
    v1::Container& container = containers_[id];
    container.set_id(id);
    container.set_state(state);
  }

  // Ends every wait for `id` with this exit code, now and from now on.
  void Exit(const std::string& id, int code) {
    std::vector<std::shared_ptr<Waiter>> ended;
    {
      const MutexLock lock(mutex_);
      containers_[id].set_state(v1::CONTAINER_STATE_STOPPED);
      containers_[id].mutable_exit_status()->set_code(code);
      for (auto& [number, waiter] : waiters_) {
        if (waiter->id == id) ended.push_back(waiter);
      }
    }
    for (const auto& waiter : ended) End(waiter, Stopped(code));
  }

  int waiters() const {
    const MutexLock lock(mutex_);
    return static_cast<int>(waiters_.size());
  }

  // Runs once, in the next Get, before it answers.
  void OnNextGet(std::function<void()> function) {
    const MutexLock lock(mutex_);
    on_get_ = std::move(function);
  }

  // The process's end of the last Attach's socket.
  UniqueFd TakeAttached() {
    const MutexLock lock(mutex_);
    return std::move(attached_);
  }

  // How often anything was asked that is not answered from what is known.
  int operations() const { return operations_; }

  std::string last_owner() const {
    const MutexLock lock(mutex_);
    return last_owner_;
  }

  absl::StatusOr<RecoveryReport> Recover() override { return RecoveryReport(); }
  bool Drain(absl::Duration) override { return true; }

  void Create(const v1::CreateContainerRequest& request, const Caller& caller,
              Done<v1::Container> done) override {
    ++operations_;
    v1::Container container;
    {
      const MutexLock lock(mutex_);
      last_owner_ = caller.identity;
      container.set_id(request.container_id());
      container.set_owner(caller.identity);
      container.set_state(v1::CONTAINER_STATE_CREATED);
      containers_[request.container_id()] = container;
    }
    done(container);
  }
  absl::StatusOr<v1::Container> Get(const v1::GetContainerRequest& request) const override {
    std::function<void()> on_get;
    {
      const MutexLock lock(mutex_);
      on_get = std::exchange(on_get_, nullptr);
    }
    if (on_get != nullptr) on_get();
    const MutexLock lock(mutex_);
    const auto found = containers_.find(request.container_id());
    if (found == containers_.end()) return NotFound(request.container_id());
    return found->second;
  }
  absl::StatusOr<v1::ListContainersResponse> List(const v1::ListContainersRequest&) const override {
    const MutexLock lock(mutex_);
    v1::ListContainersResponse response;
    for (const auto& [id, container] : containers_) *response.add_containers() = container;
    return response;
  }
  void Wait(const v1::WaitContainerRequest& request, std::shared_ptr<Cancellation> cancellation,
            Done<v1::WaitContainerResponse> done) override {
    auto waiter = std::make_shared<Waiter>();
    waiter->id = request.container_id();
    waiter->done = std::move(done);
    waiter->cancellation = cancellation;
    absl::StatusOr<v1::WaitContainerResponse> answer = absl::UnavailableError("");
    bool at_once = true;
    {
      const MutexLock lock(mutex_);
      const auto found = containers_.find(request.container_id());
      if (found == containers_.end()) {
        answer = NotFound(request.container_id());
      } else if (found->second.state() == v1::CONTAINER_STATE_STOPPED) {
        answer = Stopped(found->second.exit_status().code());
      } else {
        waiter->number = ++last_waiter_;
        waiters_[waiter->number] = waiter;
        at_once = false;
      }
    }
    if (at_once) return waiter->done(std::move(answer));
    if (cancellation != nullptr) {
      cancellation->OnCancel([this, waiter] { End(waiter, absl::CancelledError("cancelled")); });
    }
  }
  void Attach(const v1::AttachRequest::Open& request, const Caller&,
              Done<Attachment> done) override {
    ++operations_;
    int fds[2];
    {
      const MutexLock lock(mutex_);
      if (!containers_.contains(request.container_id())) {
        return done(NotFound(request.container_id()));
      }
      if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) {
        return done(absl::ErrnoToStatus(errno, "socketpair"));
      }
      attached_.reset(fds[1]);
    }
    Attachment attachment;
    attachment.stream.reset(fds[0]);
    done(std::move(attachment));
  }
  absl::StatusOr<LogLocation> GetLog(std::string_view container_id) const override {
    const MutexLock lock(mutex_);
    const auto found = containers_.find(std::string(container_id));
    if (found == containers_.end()) return NotFound(std::string(container_id));
    return LogLocation{.directory = directory_, .state = found->second.state()};
  }
  ManagerInfo GetInfo() const override { return {}; }
  EventLog& events() override { return *events_; }

#define OCID_FAKE_MISSING(method, request, response)                                 \
  void method(const v1::request&, const Caller&, Done<v1::response> done) override { \
    ++operations_;                                                                   \
    done(absl::UnimplementedError("fake"));                                          \
  }
#define OCID_FAKE_MISSING_READ(method, request, response)             \
  void method(const v1::request&, Done<v1::response> done) override { \
    ++operations_;                                                    \
    done(absl::UnimplementedError("fake"));                           \
  }
  OCID_FAKE_MISSING(Update, UpdateContainerRequest, Container)
  OCID_FAKE_MISSING(Delete, DeleteContainerRequest, DeleteContainerResponse)
  OCID_FAKE_MISSING(Start, StartContainerRequest, Container)
  OCID_FAKE_MISSING(Stop, StopContainerRequest, Container)
  OCID_FAKE_MISSING(Kill, KillContainerRequest, KillContainerResponse)
  OCID_FAKE_MISSING(Pause, PauseContainerRequest, Container)
  OCID_FAKE_MISSING(Resume, ResumeContainerRequest, Container)
  OCID_FAKE_MISSING(CreateExec, CreateExecRequest, Exec)
  OCID_FAKE_MISSING(StartExec, StartExecRequest, Exec)
  OCID_FAKE_MISSING(KillExec, KillExecRequest, KillExecResponse)
  OCID_FAKE_MISSING(DeleteExec, DeleteExecRequest, DeleteExecResponse)
  OCID_FAKE_MISSING_READ(ListProcesses, ListProcessesRequest, ListProcessesResponse)
  OCID_FAKE_MISSING_READ(GetStats, GetStatsRequest, ContainerStats)
  OCID_FAKE_MISSING_READ(InspectOciSpec, InspectOciSpecRequest, OciSpecHistory)
  OCID_FAKE_MISSING_READ(RenderOciSpec, RenderOciSpecRequest, OciSpecHistory)
  OCID_FAKE_MISSING_READ(DetectDrift, DetectDriftRequest, DetectDriftResponse)
  OCID_FAKE_MISSING_READ(ResizeExec, ResizeExecRequest, ResizeExecResponse)
#undef OCID_FAKE_MISSING
#undef OCID_FAKE_MISSING_READ
  absl::StatusOr<v1::Exec> GetExec(const v1::GetExecRequest&) const override {
    return absl::UnimplementedError("fake");
  }
  absl::StatusOr<v1::ListExecsResponse> ListExecs(const v1::ListExecsRequest&) const override {
    return absl::UnimplementedError("fake");
  }
  void WaitExec(const v1::WaitExecRequest&, std::shared_ptr<Cancellation>,
                Done<v1::WaitExecResponse> done) override {
    done(absl::UnimplementedError("fake"));
  }

 private:
  struct Waiter {
    int number = 0;
    std::string id;
    Done<v1::WaitContainerResponse> done;
    std::shared_ptr<Cancellation> cancellation;
  };

  static absl::Status NotFound(const std::string& id) {
    return MakeError(absl::StatusCode::kNotFound, "CONTAINER_NOT_FOUND",
                     "container " + id + ": not found", {{"container", id}});
  }
  static v1::WaitContainerResponse Stopped(int code) {
    v1::WaitContainerResponse response;
    response.mutable_exit_status()->set_code(code);
    return response;
  }

  void End(const std::shared_ptr<Waiter>& waiter,
           absl::StatusOr<v1::WaitContainerResponse> answer) {
    {
      const MutexLock lock(mutex_);
      if (waiters_.erase(waiter->number) == 0) return;
    }
    if (waiter->cancellation != nullptr) waiter->cancellation->Clear();
    waiter->done(std::move(answer));
  }

  const std::string directory_;
  std::atomic<int> operations_ = 0;
  const std::unique_ptr<EventLog> events_;
  mutable Mutex mutex_;
  std::map<std::string, v1::Container> containers_ ABSL_GUARDED_BY(mutex_);
  std::map<int, std::shared_ptr<Waiter>> waiters_ ABSL_GUARDED_BY(mutex_);
  int last_waiter_ ABSL_GUARDED_BY(mutex_) = 0;
  UniqueFd attached_ ABSL_GUARDED_BY(mutex_);
  std::string last_owner_ ABSL_GUARDED_BY(mutex_);
  mutable std::function<void()> on_get_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_FAKE_CONTAINER_MANAGER_H_
