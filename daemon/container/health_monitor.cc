#include "daemon/container/health_monitor.h"

#include <poll.h>
#include <signal.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"
#include "daemon/container/proto_time.h"
#include "runtime/base/error_details.h"
#include "runtime/host/attach_stream.h"

namespace ocid {
namespace {

constexpr size_t kKeptOutput = 4096;
// A straggler of the probe may hold its output open: its end is not waited for.
constexpr int kOutputPatienceMs = 50;

// As a shell says it: there is no such program, or it could not be run.
constexpr int kNotFoundCode = 127;
constexpr int kNotRunCode = 126;

}  // namespace

HealthMonitor::HealthMonitor(const HealthRules& rules, ThreadPool& pool, Timers& timers,
                             absl::Duration control_timeout, Hooks hooks)
    : rules_(rules),
      pool_(pool),
      timers_(timers),
      control_timeout_(control_timeout),
      hooks_(std::move(hooks)) {}

void HealthMonitor::Begin(Target target, absl::Time start_time, const HealthState& state) {
  target_ = std::move(target);
  container_start_ = start_time;
  const MutexLock lock(mutex_);
  ended_ = false;
  state_ = state;
  health_.set_status(state.status);
  health_.set_failures(state.failures);
  // Probes of an earlier daemon may still be there: no number twice.
  number_ = static_cast<uint64_t>(absl::ToUnixMicros(timers_.Now()));
  Schedule(FirstProbeDelay(rules_));
}

void HealthMonitor::End() {
  TimerId timer = 0;
  {
    const MutexLock lock(mutex_);
    ended_ = true;
    timer = std::exchange(timer_, 0);
  }
  if (timer != 0) timers_.Cancel(timer);
}

v1::Health HealthMonitor::health() const {
  const MutexLock lock(mutex_);
  return health_;
}

std::function<void()> HealthMonitor::OnPool(void (HealthMonitor::*step)()) {
  return [weak = weak_from_this(), step] {
    const std::shared_ptr<HealthMonitor> self = weak.lock();
    if (self == nullptr) return;
    self->pool_.Post([self, step] { ((*self).*step)(); });
  };
}

void HealthMonitor::Schedule(absl::Duration delay) {
  if (ended_) return;
  timer_ = timers_.After(delay, OnPool(&HealthMonitor::Probe));
}

void HealthMonitor::Probe() {
  const bool paused = hooks_.paused();
  std::string exec_id;
  {
    const MutexLock lock(mutex_);
    if (ended_) return;
    if (paused) return Schedule(rules_.interval);
    exec_id = absl::StrCat(absl::string_view(kPrefix.data(), kPrefix.size()), ++number_);
    running_ = exec_id;
    probe_start_ = timers_.Now();
    launched_ = exited_ = timed_out_ = false;
    timer_ = 0;
  }
  ExecRequest request;
  request.exec_id = exec_id;
  request.plan = target_.plan;
  request.cgroup2_dir = target_.cgroup2;
  for (const UniqueFd& fd : target_.cgroup1) request.cgroup1_procs.push_back(fd);
  const absl::StatusOr<ExecStarted> started = target_.supervisor->Exec(request, control_timeout_);
  if (!started.ok()) {
    v1::Health::Probe probe;
    probe.set_exit_code(GetReason(started.status()) == kReasonExecutableNotFound ? kNotFoundCode
                                                                                 : kNotRunCode);
    probe.set_error(std::string(started.status().message()));
    return Record(std::move(probe), /*succeeded=*/false);
  }
  ExitRecord exit;
  {
    const MutexLock lock(mutex_);
    launched_ = true;
    if (!exited_) {
      if (!ended_) timer_ = timers_.After(rules_.timeout, OnPool(&HealthMonitor::TimeUp));
      return;
    }
    exit = exit_;
  }
  Finish(exec_id, exit);
}

void HealthMonitor::TimeUp() {
  std::string exec_id;
  {
    const MutexLock lock(mutex_);
    if (running_.empty() || exited_) return;
    timed_out_ = true;
    exec_id = running_;
  }
  // Its exit follows; one that has come in between is as good.
  const absl::Status killed = target_.supervisor->SignalExec(exec_id, SIGKILL, control_timeout_);
  if (!killed.ok() && !absl::IsFailedPrecondition(killed) && !absl::IsNotFound(killed)) {
    Log(LogLevel::kWarning, "health check: kill", {{"error", killed}});
  }
}

void HealthMonitor::OnExit(const std::string& exec_id, const ExitRecord& record) {
  bool ours = false;
  bool finish = false;
  {
    const MutexLock lock(mutex_);
    ours = exec_id == running_;
    if (ours) {
      exited_ = true;
      exit_ = record;
      finish = launched_;
    }
  }
  if (finish) return Finish(exec_id, record);
  // Of an earlier daemon, which did not get to take it away.
  if (!ours) (void)target_.supervisor->RemoveExec(exec_id, control_timeout_);
}

void HealthMonitor::Finish(const std::string& exec_id, const ExitRecord& record) {
  v1::Health::Probe probe;
  probe.set_exit_code(ExitCode(record));
  probe.set_output(TakeOutput(exec_id));
  const absl::Status removed = target_.supervisor->RemoveExec(exec_id, control_timeout_);
  if (!removed.ok() && !absl::IsNotFound(removed) && !absl::IsUnavailable(removed)) {
    Log(LogLevel::kWarning, "health check: not removed from the supervisor", {{"error", removed}});
  }
  bool timed_out = false;
  {
    const MutexLock lock(mutex_);
    timed_out = timed_out_;
  }
  if (timed_out) {
    probe.set_error(absl::StrCat("killed: it took longer than ",
                                 absl::FormatDuration(rules_.timeout)));
  }
  Record(std::move(probe), !timed_out && ExitCode(record) == 0);
}

std::string HealthMonitor::TakeOutput(const std::string& exec_id) {
  std::string output;
  absl::StatusOr<UniqueFd> socket = target_.supervisor->Attach(exec_id, {}, control_timeout_);
  if (!socket.ok()) return output;
  AttachStream stream(*std::move(socket));
  for (;;) {
    absl::StatusOr<AttachFrame> frame = stream.Read();
    if (!frame.ok()) return output;
    switch (frame->kind) {
      case AttachFrame::Kind::kStdout:
      case AttachFrame::Kind::kStderr:
        output += frame->bytes;
        if (output.size() > kKeptOutput) output.erase(0, output.size() - kKeptOutput);
        break;
      case AttachFrame::Kind::kOpened:
      case AttachFrame::Kind::kStdinTaken:
        break;
      case AttachFrame::Kind::kNothing: {
        pollfd poll_fd = {.fd = stream.fd().get(), .events = POLLIN, .revents = 0};
        if (::poll(&poll_fd, 1, kOutputPatienceMs) <= 0) return output;
        break;
      }
      case AttachFrame::Kind::kExit:
      case AttachFrame::Kind::kDetached:
      case AttachFrame::Kind::kClosed:
        return output;
    }
  }
}

void HealthMonitor::Record(v1::Health::Probe probe, bool succeeded) {
  bool changed = false;
  TimerId timer = 0;
  {
    const MutexLock lock(mutex_);
    running_.clear();
    timer = std::exchange(timer_, 0);
    if (!ended_) {
      const absl::Time now = timers_.Now();
      *probe.mutable_start_time() = ToTimestamp(probe_start_);
      *probe.mutable_duration() = ToDuration(now - probe_start_);
      const HealthState before = state_;
      state_ = NextHealth(before, rules_, succeeded, probe_start_ - container_start_);
      changed = state_.status != before.status;
      health_.set_status(state_.status);
      health_.set_failures(state_.failures);
      auto& probes = *health_.mutable_probes();
      if (probes.size() == kKeptProbes) probes.DeleteSubrange(0, 1);
      *probes.Add() = std::move(probe);
      Schedule(rules_.interval);
    }
  }
  if (timer != 0) timers_.Cancel(timer);
  if (changed) hooks_.changed();
}

}  // namespace ocid
