// Container: signals, the end that is asked for, and the freezer.

#include <signal.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/base/log.h"
#include "daemon/base/signal_name.h"
#include "daemon/container/container.h"
#include "daemon/container/process_list.h"
#include "daemon/container/proto_time.h"
#include "daemon/container/public_error.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

constexpr absl::Duration kDefaultGrace = absl::Seconds(10);

// `text` or, where it is empty, `fallback`.
absl::StatusOr<int> SignalOf(const std::string& text, const std::string& fallback) {
  const std::string& name = text.empty() ? fallback : text;
  const std::optional<int> signal = ParseSignal(name.empty() ? "SIGTERM" : name);
  if (signal.has_value()) return *signal;
  absl::Status error = MakeError(absl::StatusCode::kInvalidArgument, "INVALID_REQUEST",
                                 absl::StrCat("signal \"", name, "\": unknown"));
  AddFieldViolation(error, "signal", "unknown signal");
  return error;
}

// What Stop sends by default: the caller's word at Create, else the image's, where there is such a
// signal. The annotation is image-spec's (conversion.md).
std::string StopSignalOf(const v1::Container& container) {
  if (!container.config().stop_signal().empty()) return container.config().stop_signal();
  const auto annotation =
      container.annotations().find("org.opencontainers.image.stopSignal");
  const bool known = annotation != container.annotations().end() &&
                     ParseSignal(annotation->second).has_value();
  return known ? annotation->second : "";
}

}  // namespace

void Container::Stop(const v1::StopContainerRequest& request, Done<v1::Container> callback) {
  const absl::Duration grace =
      request.has_grace() ? FromDuration(request.grace()) : kDefaultGrace;
  const auto waits = std::make_shared<const char>();  // until it has its turn
  if (!request.validate_only()) AbortStartAfter(grace, waits);
  OnLane(std::move(callback), [request, grace, waits](Container& self, Lane::Turn,
                                                      Done<v1::Container> done) {
    absl::Status status = self.Check(LifecycleEvent::kStop);
    const absl::StatusOr<int> signal =
        SignalOf(request.signal(), StopSignalOf(self.view_));
    if (status.ok()) status = signal.status();
    if (!status.ok()) return done(status);
    if (request.validate_only()) return done(self.BasicView());
    self.stopped_by_request_ = true;
    self.CancelRestart();
    if (self.state() == v1::CONTAINER_STATE_STOPPED) return done(self.BasicView());

    const absl::Time kill_time = self.services_.timers.Now() + grace;
    const bool was_paused = self.state() == v1::CONTAINER_STATE_PAUSED;
    // Of two stops the sooner end counts.
    const bool sooner = kill_time < self.kill_time_;
    if (sooner) self.kill_time_ = kill_time;
    status = self.Intend(LifecycleEvent::kStop);
    if (!status.ok()) return done(PublicError(status));
    self.stops_.push_back([container = &self, begin = absl::Now(),
                           done = std::move(done)](absl::StatusOr<v1::Container> stopped) mutable {
      container->PhaseEnded("stop", begin);
      done(std::move(stopped));
    });
    // The process may be gone already, and its exit on the way here.
    if (grace > absl::ZeroDuration()) (void)self.SendSignal(*signal);
    if (was_paused && self.cgroup_ != nullptr) {
      (void)self.cgroup_->Thaw(self.services_.control_timeout);  // the kill comes in any case
    }
    if (sooner) self.ArmKill(grace);
  });
}

void Container::ArmKill(absl::Duration grace) {
  const TimerId old = std::exchange(kill_timer_, 0);
  if (old != 0) services_.timers.Cancel(old);
  const uint32_t generation = view_.generation();
  if (grace <= absl::ZeroDuration()) return KillTimeUp(generation);
  kill_timer_ = services_.timers.After(
      grace, LaterOnLane([generation](Container& self) { self.KillTimeUp(generation); }));
}

void Container::KillTimeUp(uint32_t generation) {
  const bool ending = state() == v1::CONTAINER_STATE_STOPPING ||
                      state() == v1::CONTAINER_STATE_DELETING;
  if (generation != view_.generation() || !ending) return;
  const absl::Status killed = KillEverything();
  if (!killed.ok()) Log(LogLevel::kWarning, "kill", {{"container", id_}, {"error", killed}});
  kill_timer_ = services_.timers.After(
      services_.kill_timeout,
      LaterOnLane([generation](Container& self) { self.KillDeadlineUp(generation); }));
}

void Container::KillDeadlineUp(uint32_t generation) {
  const bool ending = state() == v1::CONTAINER_STATE_STOPPING ||
                      state() == v1::CONTAINER_STATE_DELETING;
  if (generation != view_.generation() || !ending) return;
  const absl::Status status = UnkillableError();
  DisarmTimers();
  Commit(LifecycleEvent::kGiveUp);
  for (Done<v1::Container>& done : std::exchange(stops_, {})) done(status);
  AnswerDeletes(status);
}

void Container::DisarmTimers() {
  kill_time_ = absl::InfiniteFuture();
  const TimerId timer = std::exchange(kill_timer_, 0);
  if (timer != 0) services_.timers.Cancel(timer);
}

absl::Status Container::UnkillableError() {
  std::vector<pid_t> pids;
  if (cgroup_ != nullptr && cgroup_->exists()) {
    const absl::StatusOr<std::vector<pid_t>> found = cgroup_->Pids();
    if (found.ok()) pids = *found;
  }
  if (pids.empty() && init_.pid != 0) pids.push_back(init_.pid);
  std::vector<std::string> described;
  constexpr size_t kMostDescribed = 16;
  for (const pid_t pid : pids) {
    if (described.size() < kMostDescribed) described.push_back(DescribeProcess(pid));
  }
  if (pids.size() > kMostDescribed) described.push_back("...");
  return MakeError(absl::StatusCode::kDeadlineExceeded, "UNKILLABLE",
                   absl::StrCat("container ", id_, ": still there after SIGKILL: ",
                                absl::StrJoin(described, ", ")),
                   {{"pids", absl::StrJoin(pids, ",")}});
}

absl::Status Container::SendSignal(int signal) {
  const absl::StatusOr<std::shared_ptr<SupervisorHandle>> handle = NeedSupervisor();
  if (!handle.ok()) return handle.status();
  return (*handle)->Signal(signal, services_.control_timeout);
}

absl::Status Container::KillEverything() {
  if (cgroup_ != nullptr && cgroup_->exists()) return cgroup_->Kill();
  return SendSignal(SIGKILL);
}

void Container::BeginLaunch() {
  MutexLock lock(mutex_);
  launching_ = true;
  abort_asked_ = false;
}

void Container::EndLaunch() {
  bool too_late = false;
  {
    MutexLock lock(mutex_);
    too_late = std::exchange(launching_, false) && abort_asked_;
  }
  if (!too_late || init_.pid == 0) return;
  const absl::Status killed = KillEverything();
  if (!killed.ok()) Log(LogLevel::kWarning, "abort", {{"container", id_}, {"error", killed}});
}

bool Container::AbortLaunch() {
  std::function<void()> abort;
  {
    MutexLock lock(mutex_);
    if (!launching_) return false;
    abort_asked_ = true;
    abort = abort_launch_;
  }
  if (abort) abort();
  return true;
}

// A start that hangs, in a hook say, holds the lane: whoever wants the container to stop waits no longer
// for it than for a container that runs.
void Container::AbortStartAfter(absl::Duration grace, const std::weak_ptr<const char>& while_alive) {
  if (snapshot()->state() != v1::CONTAINER_STATE_STARTING) return;
  services_.timers.After(grace, [weak = weak_from_this(), while_alive] {
    const std::shared_ptr<Container> self = weak.lock();
    if (self != nullptr && !while_alive.expired()) self->AbortLaunch();
  });
}

void Container::SetAbortLaunch(const std::function<void()>& abort) {
  {
    MutexLock lock(mutex_);
    abort_launch_ = abort;
    if (!abort_asked_) return;
  }
  if (abort) abort();  // it was asked for before there was anything to end
}

void Container::Kill(const v1::KillContainerRequest& request,
                     Done<v1::KillContainerResponse> callback) {
  // What hangs in a create or a start holds the lane: the kill is of that, and is done.
  const v1::ContainerState now = snapshot()->state();
  const bool launching =
      now == v1::CONTAINER_STATE_CREATING || now == v1::CONTAINER_STATE_STARTING;
  if (launching && !request.validate_only()) {
    const absl::StatusOr<int> signal = SignalOf(request.signal(), "SIGTERM");
    if (signal.ok() && *signal == SIGKILL && AbortLaunch()) {
      return callback(v1::KillContainerResponse());
    }
    if (now == v1::CONTAINER_STATE_CREATING) {
      return callback(Annotate(NextState(now, LifecycleEvent::kKill).status(),
                               absl::StrCat("container ", id_)));
    }
  }
  OnLane(std::move(callback),
         [request](Container& self, Lane::Turn turn, Done<v1::KillContainerResponse> done) {
           absl::Status status = self.Check(LifecycleEvent::kKill);
           const absl::StatusOr<int> signal = SignalOf(request.signal(), "SIGTERM");
           if (status.ok()) status = signal.status();
           if (status.ok() && request.all() && *signal != SIGKILL) {
             status = MakeError(absl::StatusCode::kInvalidArgument, "INVALID_REQUEST",
                                "all: only with SIGKILL");
             AddFieldViolation(status, "all", "only with SIGKILL");
           }
           if (status.ok() && !request.validate_only()) {
             status = request.all() ? self.KillEverything() : self.SendSignal(*signal);
             // Who asks for SIGKILL means the container to end.
             if (status.ok() && *signal == SIGKILL) self.stopped_by_request_ = true;
           }
           turn.End();
           if (!status.ok()) return done(PublicError(status));
           done(v1::KillContainerResponse());
         });
}

void Container::Pause(const v1::PauseContainerRequest& request, Done<v1::Container> callback) {
  OnLane(std::move(callback), [validate_only = request.validate_only()](
                              Container& self, Lane::Turn turn, Done<v1::Container> done) {
    absl::Status status = self.Check(LifecycleEvent::kPause);
    if (status.ok() && (self.cgroup_ == nullptr || !self.cgroup_->exists())) {
      status = MakeError(absl::StatusCode::kFailedPrecondition, "CONTROLLER_MISSING",
                         absl::StrCat("container ", self.id_, ": pause: it has no cgroup"),
                         {{"controller", "freezer"}});
    }
    if (status.ok() && !validate_only) {
      status = self.cgroup_->Freeze(self.services_.control_timeout);
      if (status.ok()) self.Commit(LifecycleEvent::kPause);
    }
    absl::StatusOr<v1::Container> answer = self.ViewOr(status);
    turn.End();
    done(std::move(answer));
  });
}

void Container::Resume(const v1::ResumeContainerRequest& request, Done<v1::Container> callback) {
  OnLane(std::move(callback), [validate_only = request.validate_only()](
                              Container& self, Lane::Turn turn, Done<v1::Container> done) {
    absl::Status status = self.Check(LifecycleEvent::kResume);
    if (status.ok() && !validate_only) {
      status = self.cgroup_->Thaw(self.services_.control_timeout);
      if (status.ok()) self.Commit(LifecycleEvent::kResume);
    }
    absl::StatusOr<v1::Container> answer = self.ViewOr(status);
    turn.End();
    done(std::move(answer));
  });
}

}  // namespace ocid
