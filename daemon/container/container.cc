#include "daemon/container/container.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/base/log.h"
#include "daemon/container/proto_time.h"
#include "daemon/container/public_error.h"
#include "runtime/base/error_details.h"

namespace ocid {

Container::Container(std::string id, ContainerServices& services)
    : id_(std::move(id)),
      services_(services),
      lane_(std::make_shared<Lane>(services.pool, services.lane_capacity)) {
  view_.set_id(id_);
  Publish();
}

std::shared_ptr<const v1::Container> Container::snapshot() const {
  MutexLock lock(mutex_);
  return snapshot_;
}

std::shared_ptr<const v1::Container> Container::snapshot(std::string* request_id,
                                                         std::string* request_digest) const {
  MutexLock lock(mutex_);
  *request_id = request_id_;
  *request_digest = request_digest_;
  return snapshot_;
}

v1::Container Container::BasicView() const {
  v1::Container view = view_;
  view.clear_config();
  AddHealth(view);
  return view;
}

absl::StatusOr<v1::Container> Container::ViewOr(const absl::Status& error) const {
  if (!error.ok()) return PublicError(error);
  return BasicView();
}

std::function<void()> Container::LaterOnLane(std::function<void(Container&)> operation) {
  return [weak = weak_from_this(), operation = std::move(operation)] {
    const std::shared_ptr<Container> self = weak.lock();
    if (self == nullptr) return;
    self->lane_->PushAlways([self, operation](Lane::Turn) { operation(*self); });
  };
}

absl::Status Container::BusyError() const {
  return MakeError(absl::StatusCode::kResourceExhausted, "BUSY",
                   absl::StrCat("container ", id_, ": too many operations are waiting"));
}

absl::Status Container::GoneError() const {
  return MakeError(absl::StatusCode::kNotFound, "CONTAINER_NOT_FOUND",
                   absl::StrCat("container ", id_, ": not found"), {{"container_id", id_}});
}

absl::Status Container::Check(LifecycleEvent event) const {
  // An operation that was queued behind the one that ended the container.
  if (state() == v1::CONTAINER_STATE_UNSPECIFIED && event != LifecycleEvent::kCreate) {
    return GoneError();
  }
  const absl::StatusOr<v1::ContainerState> next = NextState(state(), event);
  if (next.ok()) return absl::OkStatus();
  return Annotate(next.status(), absl::StrCat("container ", id_));
}

absl::Status Container::CheckObservable() const {
  const v1::ContainerState now = snapshot()->state();
  if (now != v1::CONTAINER_STATE_CREATING && now != v1::CONTAINER_STATE_STARTING) {
    return absl::OkStatus();
  }
  return Annotate(NextState(now, LifecycleEvent::kObserve).status(),
                  absl::StrCat("container ", id_));
}

absl::Status Container::Intend(LifecycleEvent event) {
  const absl::Status legal = Check(event);
  if (!legal.ok()) return legal;
  const v1::ContainerState previous = state();
  const v1::ContainerState next = *NextState(previous, event);
  const absl::Status stored = StoreState(next);
  if (!stored.ok()) return stored;
  view_.set_state(next);
  Publish();
  if (next != previous) AddEvent(v1::Event::STATE_CHANGED, previous);
  return absl::OkStatus();
}

void Container::Commit(LifecycleEvent event) {
  const v1::ContainerState previous = state();
  const absl::StatusOr<v1::ContainerState> next = NextState(previous, event);
  if (!next.ok()) {  // a defect of ours; the container's state stands
    Log(LogLevel::kError, "container: illegal move",
        {{"container", id_}, {"error", next.status()}});
    return;
  }
  view_.set_state(*next);
  Publish();
  if (*next != previous) AddEvent(v1::Event::STATE_CHANGED, previous);
  if (*next != v1::CONTAINER_STATE_UNSPECIFIED) StoreStateOrLog();
}

void Container::Publish() {
  view_.set_etag(absl::StrCat(services_.etag_prefix, "-", ++revision_));
  auto snapshot = std::make_shared<const v1::Container>(view_);
  MutexLock lock(mutex_);
  snapshot_.swap(snapshot);
}

absl::Status Container::StoreState(v1::ContainerState state) {
  internal::RuntimeState stored;
  stored.set_state(state);
  stored.set_generation(view_.generation());
  stored.mutable_supervisor()->set_pid(supervisor_identity_.pid);
  stored.mutable_supervisor()->set_start_time(supervisor_identity_.start_time);
  stored.mutable_init()->set_pid(init_.pid);
  stored.mutable_init()->set_start_time(init_.start_time);
  stored.set_cgroup_path(view_.cgroup_path());
  stored.set_cgroups_path(cgroups_path_);
  if (view_.has_start_time()) *stored.mutable_start_time() = view_.start_time();
  if (view_.has_finish_time()) *stored.mutable_finish_time() = view_.finish_time();
  if (view_.has_exit_status()) *stored.mutable_exit_status() = view_.exit_status();
  *stored.mutable_warnings() = view_.warnings();
  if (kill_time_ != absl::InfiniteFuture()) *stored.mutable_kill_time() = ToTimestamp(kill_time_);
  stored.set_restart_count(restart_count_);
  stored.set_updated_resources(updated_resources_);
  stored.set_stopped_by_request(stopped_by_request_);
  stored.set_oom_kills_told(oom_kills_told_);
  if (const std::shared_ptr<HealthMonitor> monitor = health()) {
    const v1::Health now = monitor->health();
    last_health_ = {.status = now.status(), .failures = now.failures()};
  }
  stored.set_health(last_health_.status);
  stored.set_health_failures(last_health_.failures);
  return services_.store.PutState(id_, std::move(stored));
}

void Container::StoreStateOrLog() {
  const absl::Status stored = StoreState(state());
  if (stored.ok()) return;
  Log(LogLevel::kWarning, "container: state not stored", {{"container", id_}, {"error", stored}});
}

void Container::AddEvent(v1::Event::Type type, v1::ContainerState previous) {
  v1::Event event;
  event.set_type(type);
  event.set_container_id(id_);
  event.set_generation(view_.generation());
  if (type == v1::Event::STATE_CHANGED) {
    event.set_state(state());
    event.set_previous_state(previous);
    if (state() == v1::CONTAINER_STATE_STOPPED) {
      *event.mutable_exit_status() = view_.exit_status();
    }
    if (state() == v1::CONTAINER_STATE_UNSPECIFIED) event.set_detail("gone");
  }
  services_.events.Append(std::move(event));
}

void Container::AddWarning(const std::string& warning) {
  for (const std::string& known : view_.warnings()) {
    if (known == warning) return;
  }
  constexpr int kMaxWarnings = 32;
  if (view_.warnings_size() < kMaxWarnings) view_.add_warnings(warning);
}

void Container::Wait(std::shared_ptr<Cancellation> cancellation,
                     Done<v1::WaitContainerResponse> done) {
  absl::StatusOr<v1::WaitContainerResponse> answer = GoneError();
  uint64_t waiter = 0;
  {
    MutexLock lock(mutex_);
    if (!gone_ && snapshot_->state() == v1::CONTAINER_STATE_STOPPED) {
      answer.emplace();
      *answer->mutable_exit_status() = snapshot_->exit_status();
      answer->set_generation(snapshot_->generation());
    } else if (!gone_) {
      waiter = ++last_waiter_;
      waiters_.emplace(waiter, Waiter{std::move(done), cancellation});
    }
  }
  if (waiter == 0) return done(std::move(answer));
  if (cancellation == nullptr) return;
  cancellation->OnCancel([weak = weak_from_this(), waiter] {
    const std::shared_ptr<Container> self = weak.lock();
    if (self == nullptr) return;
    std::map<uint64_t, Waiter>::node_type node;
    {
      MutexLock lock(self->mutex_);
      node = self->waiters_.extract(waiter);
    }
    if (!node.empty()) node.mapped().done(absl::CancelledError("the wait was cancelled"));
  });
}

void Container::AnswerWaiters(const absl::StatusOr<v1::WaitContainerResponse>& answer) {
  std::map<uint64_t, Waiter> waiters;
  {
    MutexLock lock(mutex_);
    waiters = std::exchange(waiters_, {});
  }
  for (auto& [id, waiter] : waiters) {
    if (waiter.cancellation != nullptr) waiter.cancellation->Clear();
    waiter.done(answer);
  }
}

void Container::Abandon() {
  AnswerWaiters(absl::CancelledError("the daemon shuts down"));
  execs_.RemoveAll(absl::CancelledError("the daemon shuts down"));
  EndHealth();
  // What waits on the lane for a process to end waits no longer; the next daemon sees to the process.
  lane_->PushAlways([self = shared_from_this()](Lane::Turn) {
    const absl::Status status = MakeError(absl::StatusCode::kUnavailable, "SHUTTING_DOWN",
                                          absl::StrCat("container ", self->id_,
                                                       ": the daemon shuts down"));
    self->DisarmTimers();
    self->CancelRestart();
    self->CancelDelete();
    for (Done<v1::Container>& done : std::exchange(self->stops_, {})) done(status);
    self->AnswerDeletes(status);
  });
}

std::shared_ptr<SupervisorHandle> Container::supervisor() const {
  MutexLock lock(mutex_);
  return supervisor_;
}

void Container::SetSupervisor(std::shared_ptr<SupervisorHandle> supervisor) {
  MutexLock lock(mutex_);
  supervisor_.swap(supervisor);
}

absl::StatusOr<std::shared_ptr<SupervisorHandle>> Container::NeedSupervisor() const {
  std::shared_ptr<SupervisorHandle> handle = supervisor();
  if (handle != nullptr) return handle;
  return MakeError(absl::StatusCode::kInternal, "SUPERVISOR_LOST",
                   absl::StrCat("container ", id_, ": its supervisor is gone"));
}

}  // namespace ocid
