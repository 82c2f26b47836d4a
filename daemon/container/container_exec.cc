// Container: further processes in it.

#include <fcntl.h>
#include <signal.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/base/log.h"
#include "daemon/base/signal_name.h"
#include "daemon/container/container.h"
#include "daemon/container/page.h"
#include "daemon/container/proto_time.h"
#include "daemon/container/public_error.h"
#include "daemon/store/store_layout.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

absl::Status RequestError(std::string_view reason, const std::string& field,
                          const std::string& what) {
  absl::Status error = MakeError(absl::StatusCode::kInvalidArgument, reason,
                                 absl::StrCat(field, ": ", what));
  AddFieldViolation(error, field, what);
  return error;
}

std::string MakeExecId() {
  absl::BitGen random;
  return absl::StrFormat("exec-%012x", absl::Uniform<uint64_t>(random, 0, uint64_t{1} << 48));
}

absl::Status ExecStateError(const v1::Exec& exec, const char* operation) {
  const std::string state = v1::ExecState_Name(exec.state()).substr(sizeof("EXEC_STATE_") - 1);
  return MakeError(absl::StatusCode::kFailedPrecondition, "INVALID_STATE",
                   absl::StrCat("exec ", exec.id(), ": ", operation, ": not possible in state ", state),
                   {{"state", state}, {"operation", operation}});
}

UniqueFd Duplicate(BorrowedFd fd) {
  return UniqueFd(fd.valid() ? ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3) : -1);
}

}  // namespace

absl::StatusOr<v1::Exec> Container::GetExec(const std::string& exec_id) const {
  return execs_.Get(exec_id);
}

absl::StatusOr<v1::ListExecsResponse> Container::ListExecs(
    const v1::ListExecsRequest& request) const {
  const absl::StatusOr<size_t> size = PageSize(request.page_size());
  if (!size.ok()) return size.status();
  // A token belongs to its container.
  const std::string arguments = absl::StrCat("execs\n", id_);
  const absl::StatusOr<std::string> after = ParsePageToken(request.page_token(), arguments);
  if (!after.ok()) return after.status();
  std::vector<v1::Exec> execs = execs_.List(*after, *size + 1);
  v1::ListExecsResponse response;
  if (execs.size() > *size) {
    execs.pop_back();
    response.set_next_page_token(MakePageToken(execs.back().id(), arguments));
  }
  for (v1::Exec& exec : execs) *response.add_execs() = std::move(exec);
  return response;
}

void Container::CreateExec(const v1::CreateExecRequest& request, Done<v1::Exec> callback) {
  OnLane(std::move(callback), [request](Container& self, Lane::Turn turn, Done<v1::Exec> done) {
    const absl::Status legal = self.Check(LifecycleEvent::kExec);
    if (!legal.ok()) return done(legal);
    v1::Exec exec;
    exec.set_container_id(self.id_);
    exec.set_id(request.exec_id().empty() ? MakeExecId() : request.exec_id());
    exec.set_state(v1::EXEC_STATE_CREATED);
    *exec.mutable_config() = request.config();
    *exec.mutable_create_time() = ToTimestamp(self.services_.timers.Now());
    if (!IsValidId(exec.id())) {
      return done(RequestError("INVALID_EXEC_ID", "exec_id", "not a valid id"));
    }
    if (request.config().args().empty()) {
      return done(RequestError("INVALID_REQUEST", "config.args", "required"));
    }
    if (request.validate_only()) {
      const absl::StatusOr<v1::Exec> existing = self.execs_.Get(exec.id());
      if (!existing.ok()) return done(std::move(exec));
      return done(MakeError(absl::StatusCode::kAlreadyExists, "EXEC_EXISTS",
                            absl::StrCat("exec ", exec.id(), ": exists")));
    }
    absl::Status status = self.execs_.Add(exec);
    if (!status.ok()) return done(status);
    status = self.services_.store.PutExec(self.id_, exec);
    if (status.ok() && request.start()) {
      status = self.execs_.BeginStart(exec.id());
      if (status.ok()) {
        absl::StatusOr<LaunchedExec> launched =
            self.LaunchExec(std::move(turn), exec.id(), /*attach=*/false);
        if (launched.ok()) return done(std::move(launched->exec));
        status = launched.status();
      }
    }
    if (!status.ok()) {
      self.DropExec(exec.id());
      return done(PublicError(status));
    }
    turn.End();
    done(std::move(exec));
  });
}

void Container::StartExec(const v1::StartExecRequest& request, Done<v1::Exec> callback) {
  OnLane(std::move(callback), [exec_id = request.exec_id()](Container& self, Lane::Turn turn,
                                                        Done<v1::Exec> done) {
    const absl::StatusOr<v1::Exec> exec = self.execs_.Get(exec_id);
    if (!exec.ok()) return done(exec.status());
    absl::Status status = self.Check(LifecycleEvent::kExec);
    if (status.ok()) status = self.execs_.BeginStart(exec_id);
    if (!status.ok()) return done(status);
    absl::StatusOr<LaunchedExec> launched =
        self.LaunchExec(std::move(turn), exec_id, /*attach=*/false);
    if (!launched.ok()) return done(PublicError(launched.status()));
    done(std::move(launched->exec));
  });
}

absl::StatusOr<Container::LaunchedExec> Container::LaunchExec(Lane::Turn turn,
                                                              const std::string& exec_id,
                                                              bool attach) {
  absl::Cleanup fail_start = [&] { execs_.FailStart(exec_id); };
  const absl::StatusOr<v1::Exec> exec = execs_.Get(exec_id);
  if (!exec.ok()) return exec.status();
  const absl::StatusOr<std::shared_ptr<SupervisorHandle>> handle = NeedSupervisor();
  if (!handle.ok()) return handle.status();
  const absl::StatusOr<std::shared_ptr<const OciSpec>> spec = ParsedSpec();
  if (!spec.ok()) return spec.status();
  const v1::ContainerConfig config = view_.config();
  UniqueFd cgroup2;
  std::vector<UniqueFd> cgroup1;
  LendCgroup(&cgroup2, &cgroup1);
  // From here on it is the supervisor's business, beside whatever the container does next.
  turn.End();
  const absl::StatusOr<std::string> plan =
      services_.compiler.CompileExecPlan(id_, config, **spec, exec->config());
  if (!plan.ok()) return plan.status();
  ExecRequest request;
  request.exec_id = exec_id;
  request.plan = *plan;
  request.cgroup2_dir = cgroup2;
  for (const UniqueFd& fd : cgroup1) request.cgroup1_procs.push_back(fd);
  request.open_stdin = exec->config().open_stdin();
  request.attach = attach;
  absl::StatusOr<ExecStarted> launched = (*handle)->Exec(request, services_.control_timeout);
  if (!launched.ok()) return launched.status();
  std::move(fail_start).Cancel();
  // Before the table has it as running: an exit that is on the way here is told after this.
  v1::Event event;
  event.set_type(v1::Event::EXEC_STARTED);
  event.set_container_id(id_);
  event.set_exec_id(exec_id);
  services_.events.Append(std::move(event));
  absl::StatusOr<ExecTable::Started> started = execs_.FinishStart(
      exec_id, launched->process.pid, absl::ToUnixNanos(services_.timers.Now()));
  if (!started.ok()) return started.status();
  const absl::Status stored = services_.store.PutExec(id_, started->exec);
  if (!stored.ok()) {
    Log(LogLevel::kWarning, "exec: not stored", {{"container", id_}, {"error", stored}});
  }
  if (started->exit.has_value()) FinishExec(exec_id, *started->exit);
  return LaunchedExec{std::move(started->exec), std::move(launched->stream)};
}

absl::StatusOr<std::shared_ptr<const OciSpec>> Container::ParsedSpec() {
  if (spec_ == nullptr) {
    absl::StatusOr<OciSpec> parsed = OciSpec::Parse(*spec_text_);
    if (!parsed.ok()) return parsed.status();
    spec_ = std::make_shared<const OciSpec>(*std::move(parsed));
  }
  return spec_;
}

void Container::LendCgroup(UniqueFd* cgroup2, std::vector<UniqueFd>* cgroup1) const {
  if (cgroup_ == nullptr || !cgroup_->exists()) return;
  *cgroup2 = Duplicate(cgroup_->unified_fd());
  for (const BorrowedFd fd : cgroup_->v1_procs_fds()) cgroup1->push_back(Duplicate(fd));
}

void Container::HandleExecExit(const std::string& exec_id, const ExitRecord& record) {
  if (HealthMonitor::IsProbe(exec_id)) {
    const std::shared_ptr<HealthMonitor> monitor = health();
    if (monitor != nullptr) monitor->OnExit(exec_id, record);
    return;
  }
  FinishExec(exec_id, ToExitStatus(record));
}

void Container::FinishExec(const std::string& exec_id, const v1::ExitStatus& exit) {
  const std::optional<v1::Exec> exec = execs_.Exit(exec_id, exit);
  if (!exec.has_value()) return;
  v1::Event event;
  event.set_type(v1::Event::EXEC_EXITED);
  event.set_container_id(id_);
  event.set_exec_id(exec_id);
  *event.mutable_exit_status() = exit;
  services_.events.Append(std::move(event));
  const bool remove = execs_.AnswerWaiters(exec_id);
  if (remove) {
    lane_->PushAlways([self = shared_from_this(), exec_id](Lane::Turn) { self->DropExec(exec_id); });
  } else if (execs_.HasSurplus()) {
    lane_->PushAlways([self = shared_from_this()](Lane::Turn) { self->DropSurplusExecs(); });
  }
}

void Container::DropSurplusExecs() {
  for (const std::string& exec_id : execs_.Surplus()) DropExec(exec_id);
}

void Container::DropExec(const std::string& exec_id) {
  const std::shared_ptr<SupervisorHandle> handle = supervisor();
  if (handle != nullptr) {
    const absl::Status removed = handle->RemoveExec(exec_id, services_.control_timeout);
    // One that never started, or of an earlier generation, it does not know.
    if (!removed.ok() && !absl::IsNotFound(removed)) {
      Log(LogLevel::kWarning, "exec: not removed from the supervisor",
          {{"container", id_}, {"exec", exec_id}, {"error", removed}});
    }
  }
  execs_.Remove(exec_id);
  const absl::Status removed = services_.store.RemoveExec(id_, exec_id);
  if (!removed.ok()) {
    Log(LogLevel::kWarning, "exec: file left behind", {{"container", id_}, {"error", removed}});
  }
}

void Container::WaitExec(const std::string& exec_id, std::shared_ptr<Cancellation> cancellation,
                         Done<v1::WaitExecResponse> done) {
  const std::shared_ptr<Container> self = shared_from_this();
  const bool remove =
      execs_.Wait(exec_id, std::move(cancellation), std::move(done), weak_from_this());
  if (remove) lane_->PushAlways([self, exec_id](Lane::Turn) { self->DropExec(exec_id); });
}

void Container::KillExec(const v1::KillExecRequest& request, Done<v1::KillExecResponse> callback) {
  OnLane(std::move(callback),
         [request](Container& self, Lane::Turn turn, Done<v1::KillExecResponse> done) {
           const absl::StatusOr<v1::Exec> exec = self.execs_.Get(request.exec_id());
           if (!exec.ok()) return done(exec.status());
           const std::optional<int> signal =
               ParseSignal(request.signal().empty() ? "SIGTERM" : request.signal());
           if (!signal.has_value()) {
             return done(RequestError("INVALID_REQUEST", "signal", "unknown signal"));
           }
           if (exec->state() != v1::EXEC_STATE_RUNNING) {
             return done(ExecStateError(*exec, "kill"));
           }
           const absl::StatusOr<std::shared_ptr<SupervisorHandle>> handle = self.NeedSupervisor();
           turn.End();
           const absl::Status status =
               handle.ok() ? (*handle)->SignalExec(request.exec_id(), *signal,
                                                   self.services_.control_timeout)
                           : handle.status();
           if (!status.ok()) return done(PublicError(status));
           done(v1::KillExecResponse());
         });
}

void Container::DeleteExec(const v1::DeleteExecRequest& request,
                           Done<v1::DeleteExecResponse> callback) {
  OnLane(std::move(callback), [request](Container& self, Lane::Turn turn,
                                    Done<v1::DeleteExecResponse> done) {
    const absl::StatusOr<v1::Exec> exec = self.execs_.Get(request.exec_id());
    if (!exec.ok()) return done(exec.status());
    if (exec->state() != v1::EXEC_STATE_RUNNING) {
      const std::vector<std::string> unfinished = self.execs_.Unfinished();
      if (std::find(unfinished.begin(), unfinished.end(), exec->id()) != unfinished.end()) {
        return done(ExecStateError(*exec, "delete"));  // it is starting
      }
      self.DropExec(exec->id());
      turn.End();
      return done(v1::DeleteExecResponse());
    }
    if (!request.force()) return done(ExecStateError(*exec, "delete"));
    const absl::StatusOr<std::shared_ptr<SupervisorHandle>> handle = self.NeedSupervisor();
    const absl::Status killed =
        handle.ok() ? (*handle)->SignalExec(exec->id(), SIGKILL, self.services_.control_timeout)
                    : handle.status();
    if (!killed.ok() && !absl::IsFailedPrecondition(killed)) return done(PublicError(killed));
    // Its end takes it away: as a waiter on the exec, which holds neither the lane nor a thread.
    auto shared = std::make_shared<Done<v1::DeleteExecResponse>>(std::move(done));
    turn.End();
    self.WaitExec(exec->id(), nullptr,
                  [container = self.shared_from_this(), exec_id = exec->id(),
                   shared](const absl::StatusOr<v1::WaitExecResponse>& ended) {
                    if (!ended.ok() && !absl::IsNotFound(ended.status())) {
                      return (*shared)(ended.status());
                    }
                    container->lane_->PushAlways([container, exec_id, shared](Lane::Turn) {
                      container->DropExec(exec_id);
                      (*shared)(v1::DeleteExecResponse());
                    });
                  });
  });
}

void Container::ResizeExec(const v1::ResizeExecRequest& request,
                           Done<v1::ResizeExecResponse> callback) {
  OnLane(std::move(callback), [request](Container& self, Lane::Turn turn,
                                    Done<v1::ResizeExecResponse> done) {
    constexpr uint32_t kMaxSize = 65535;
    const v1::ConsoleSize& size = request.size();
    if (size.rows() == 0 || size.rows() > kMaxSize || size.columns() == 0 ||
        size.columns() > kMaxSize) {
      return done(RequestError("INVALID_REQUEST", "size", "rows and columns: 1 to 65535"));
    }
    bool terminal = self.view_.terminal();
    if (!request.exec_id().empty()) {
      const absl::StatusOr<v1::Exec> exec = self.execs_.Get(request.exec_id());
      if (!exec.ok()) return done(exec.status());
      if (exec->state() != v1::EXEC_STATE_RUNNING) return done(ExecStateError(*exec, "resize"));
      terminal = exec->config().terminal();
    } else {
      const absl::Status legal = self.Check(LifecycleEvent::kObserve);
      if (!legal.ok()) return done(legal);
    }
    if (!terminal) {
      return done(MakeError(absl::StatusCode::kFailedPrecondition, "INVALID_STATE",
                            "resize: the process has no terminal",
                            {{"operation", "resize"}}));
    }
    const absl::StatusOr<std::shared_ptr<SupervisorHandle>> handle = self.NeedSupervisor();
    turn.End();
    const absl::Status status =
        handle.ok() ? (*handle)->Resize(request.exec_id(), static_cast<uint16_t>(size.rows()),
                                        static_cast<uint16_t>(size.columns()),
                                        self.services_.control_timeout)
                    : handle.status();
    if (!status.ok()) return done(PublicError(status));
    done(v1::ResizeExecResponse());
  });
}

void Container::Attach(const v1::AttachRequest::Open& request, Done<Attachment> callback) {
  OnLane(std::move(callback), [request](Container& self, Lane::Turn turn, Done<Attachment> done) {
    if (self.state() == v1::CONTAINER_STATE_UNSPECIFIED) return done(self.GoneError());
    absl::StatusOr<Attachment> attachment =
        request.exec_id().empty() ? self.AttachInit(std::move(turn), request)
                                  : self.AttachExec(std::move(turn), request);
    if (!attachment.ok()) return done(PublicError(attachment.status()));
    done(std::move(attachment));
  });
}

absl::StatusOr<Attachment> Container::AttachInit(Lane::Turn turn,
                                                 const v1::AttachRequest::Open& request) {
  if (request.start()) {
    const absl::Status legal = Check(LifecycleEvent::kStart);
    if (!legal.ok()) return legal;
    if (state() == v1::CONTAINER_STATE_STOPPED) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "INVALID_STATE",
                       absl::StrCat("container ", id_,
                                    ": attach and start: only in state CREATED; start it first"),
                       {{"state", "STOPPED"}, {"operation", "attach and start"}});
    }
  }
  const bool terminal = view_.terminal();
  const absl::StatusOr<std::shared_ptr<SupervisorHandle>> handle = NeedSupervisor();
  if (!handle.ok()) return handle.status();
  if (!request.start()) turn.End();
  absl::StatusOr<UniqueFd> stream = (*handle)->Attach(
      "", {.stdout_offset = request.stdout_offset(), .stderr_offset = request.stderr_offset()},
      services_.control_timeout);
  if (!stream.ok()) return stream.status();
  if (request.start()) {
    const absl::Status started = DoStart();
    if (!started.ok()) return started;
    TellStarted();
  }
  return Attachment{*std::move(stream), terminal};
}

absl::StatusOr<Attachment> Container::AttachExec(Lane::Turn turn,
                                                 const v1::AttachRequest::Open& request) {
  const absl::StatusOr<v1::Exec> exec = execs_.Get(request.exec_id());
  if (!exec.ok()) return exec.status();
  const bool terminal = exec->config().terminal();
  if (request.start()) {
    absl::Status status = Check(LifecycleEvent::kExec);
    if (status.ok()) status = execs_.BeginStart(request.exec_id());
    if (!status.ok()) return status;
    absl::StatusOr<LaunchedExec> launched =
        LaunchExec(std::move(turn), request.exec_id(), /*attach=*/true);
    if (!launched.ok()) return launched.status();
    return Attachment{std::move(launched->stream), terminal};
  }
  if (exec->state() == v1::EXEC_STATE_CREATED) return ExecStateError(*exec, "attach");
  const absl::StatusOr<std::shared_ptr<SupervisorHandle>> handle = NeedSupervisor();
  if (!handle.ok()) return handle.status();
  turn.End();
  absl::StatusOr<UniqueFd> stream = (*handle)->Attach(
      request.exec_id(),
      {.stdout_offset = request.stdout_offset(), .stderr_offset = request.stderr_offset()},
      services_.control_timeout);
  if (!stream.ok()) return stream.status();
  return Attachment{*std::move(stream), terminal};
}

}  // namespace ocid
