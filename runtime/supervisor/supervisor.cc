#include "runtime/supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <new>
#include <utility>

#include "runtime/supervisor/clock.h"
#include "runtime/supervisor/exit_record.h"
#include "runtime/supervisor/oom_kills.h"
#include "runtime/supervisor/process_stat.h"

namespace ocid {
namespace {

constexpr char kProtectedOomScore[] = "-999";
constexpr int kRecordRetryMs = 1000;
constexpr int kMaxSignal = 64;
constexpr int64_t kLogStateIntervalNs = 1'000'000'000;

// waitid(2) itself also has the resource usage, which glibc's wrapper leaves out.
bool PeekExited(siginfo_t* info, rusage* usage) {
  *info = {};
  const long result = syscall(SYS_waitid, P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT, usage);
  return result == 0 && info->si_pid != 0;
}

void ReapProcess(pid_t pid) {
  siginfo_t info = {};
  waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG);
}

ExitRecord MakeExitRecord(const siginfo_t& info, const rusage& usage) {
  ExitRecord record;
  if (info.si_code == CLD_EXITED) {
    record.code = info.si_status;
  } else {
    record.signal = info.si_status;
    record.core_dumped = info.si_code == CLD_DUMPED ? 1 : 0;
  }
  record.pid = info.si_pid;
  record.time_unix_ns = ClockNow(CLOCK_REALTIME);
  record.time_boot_ns = ClockNow(CLOCK_BOOTTIME);
  record.user_time_us = usage.ru_utime.tv_sec * int64_t{1'000'000} + usage.ru_utime.tv_usec;
  record.system_time_us = usage.ru_stime.tv_sec * int64_t{1'000'000} + usage.ru_stime.tv_usec;
  record.max_rss_kib = usage.ru_maxrss;
  return record;
}

}  // namespace

int MappedPlan::Map(UniqueFd fd) {
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_WRITE;
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) return EINVAL;
  struct stat status = {};
  if (fstat(fd.get(), &status) != 0) return errno;
  if (status.st_size <= 0 || static_cast<uint64_t>(status.st_size) > kMaxPlanBytes) return EINVAL;
  size_ = static_cast<size_t>(status.st_size);
  void* mapped = mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (mapped == MAP_FAILED) return errno;
  bytes_ = mapped;
  fd_ = std::move(fd);
  return PlanView::Open(bytes_, size_, &view_) ? 0 : EINVAL;
}

void MappedPlan::Reset() {
  if (bytes_ != nullptr) munmap(bytes_, size_);
  bytes_ = nullptr;
  view_ = PlanView();
  fd_.reset();
}

// The init, or an exec.
struct Supervisor::Process {
  Process(Supervisor* owner, LogWriter* log) : supervisor(owner), io(&owner->loop_, log) {
    status_watcher.ready = &Supervisor::StatusReady;
    status_watcher.owner = this;
    hook_watcher.ready = &Supervisor::HookReady;
    hook_watcher.owner = this;
  }
  ~Process() {
    supervisor->loop_.Stop(&status_watcher);
    supervisor->loop_.Stop(&hook_watcher);
  }

  static Process* New(Supervisor* owner, LogWriter* log) {
    void* memory = malloc(sizeof(Process));
    return memory != nullptr ? new (memory) Process(owner, log) : nullptr;
  }
  static void Delete(Process* process) {
    if (process == nullptr) return;
    process->~Process();
    free(process);
  }

  ProcessBody Describe() const {
    ProcessBody body;
    body.state = static_cast<uint32_t>(state);
    body.pid = launched.pid;
    body.start_time = start_time;
    body.exit = exit;
    return body;
  }

  Supervisor* supervisor;
  Process* next = nullptr;
  TargetId id;
  uint64_t ordinal = 0;
  WireState state = WireState::kNone;
  uint64_t start_time = 0;
  ExitRecord exit;
  MappedPlan plan;  // until the program runs and poststart hooks, if any, have
  Launched launched;
  UniqueFd oom_kills;  // of the init's cgroup, until it exits; may be invalid
  Watcher status_watcher;
  ReplyTo start_reply;     // who waits for the program to run
  UniqueFd attach_stream;  // goes with that reply
  bool failed = false;     // an exec that never ran: forgotten as soon as it is reaped
  UniqueFd hook_result;
  Watcher hook_watcher;
  ProcessIo io;
};

Supervisor::Supervisor(Fds fds) : fds_(std::move(fds)) {}

int Supervisor::Run() {
  sigset_t child_signal;
  sigemptyset(&child_signal);
  sigaddset(&child_signal, SIGCHLD);
  signal_fd_.reset(signalfd(-1, &child_signal, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signal_fd_.valid() || loop_.Open() != 0) return EXIT_FAILURE;
  signal_watcher_.ready = &Supervisor::SignalReady;
  signal_watcher_.owner = this;
  if (loop_.Watch(&signal_watcher_, signal_fd_, EPOLLIN) != 0) return EXIT_FAILURE;
  OpenOomScore();
  server_.Open(&loop_, std::move(fds_.control), std::move(fds_.listener),
               &Supervisor::HandleRequest, this);
  // Nothing to look after, and nobody to ask for it.
  while (!done_ && (init_ != nullptr || server_.connected())) loop_.RunOnce(NextTimeoutMs());
  return EXIT_SUCCESS;
}

// ---- Requests

void Supervisor::HandleRequest(void* self, Request& request, ReplyTo to) {
  static_cast<Supervisor*>(self)->Dispatch(request, to);
}

void Supervisor::Dispatch(Request& request, ReplyTo to) {
  switch (static_cast<MessageType>(request.header.type)) {
    case MessageType::kCreate:
      return Create(request, to);
    case MessageType::kStart:
      return Start(to);
    case MessageType::kSignal:
      return Signal(request, to);
    case MessageType::kExec:
      return Exec(request, to);
    case MessageType::kResize:
      return Resize(request, to);
    case MessageType::kCloseStdin:
      return CloseStdin(request, to);
    case MessageType::kAttach:
      return Attach(request, to);
    case MessageType::kStatus:
      return Status(request, to);
    case MessageType::kRemoveExec:
      return RemoveExec(request, to);
    case MessageType::kShutdown:
      return Shutdown(to);
    default:
      return Answer(to, ReplyCode::kInvalid);
  }
}

void Supervisor::Answer(ReplyTo to, ReplyCode code, int32_t value) {
  server_.Send(to, {.code = code, .value = value});
}

void Supervisor::AnswerErrno(ReplyTo to, int error) {
  error == 0 ? Answer(to, ReplyCode::kOk) : Answer(to, ReplyCode::kSystemError, error);
}

void Supervisor::AnswerFailure(const Process& process, ReplyTo to, const FailureRecord& failure) {
  const FailureBody body = {.failure = failure};
  server_.Send(to, {.code = ReplyCode::kLaunchFailed,
                    .body = &body,
                    .size = sizeof(body),
                    .fd = process.plan.fd()});
}

Supervisor::Process* Supervisor::Find(const TargetId& target) {
  if (!IsValid(target)) return nullptr;
  if (target.length == 0) return init_;
  for (Process* exec = execs_; exec != nullptr; exec = exec->next) {
    if (SameTarget(exec->id, target)) return exec;
  }
  return nullptr;
}

Supervisor::Process* Supervisor::FindOrRefuse(const TargetId& target, ReplyTo to) {
  Process* process = Find(target);
  if (process == nullptr || process->failed) {
    Answer(to, ReplyCode::kNotFound);
    return nullptr;
  }
  return process;
}

void Supervisor::Create(Request& request, ReplyTo to) {
  if (init_ != nullptr)
    return Answer(to, ReplyCode::kWrongState, static_cast<int32_t>(init_->state));
  done_ = true;  // unless this succeeds
  LaunchBody body;
  Process* process = ParseLaunch(request, &body, to);
  if (process == nullptr) return;
  const LogFileFormat format = body.log_format == static_cast<uint32_t>(LogFileFormat::kCri)
                               ? LogFileFormat::kCri
                               : LogFileFormat::kJson;
  const int error =
      log_.Open(fds_.container_dir.get(), body.log_max_bytes, body.log_max_files, format);
  const bool fits = process->plan.view().has(kPlanHasGate) && !process->plan.view().has(kPlanJoins);
  if (error != 0 || !fits) {
    error != 0 ? AnswerErrno(to, error) : Answer(to, ReplyCode::kInvalid);
  } else if (LaunchProcess(process, request, body, to)) {
    SetOomScore(/*protect=*/true);
    process->state = WireState::kCreated;
    init_ = process;
    done_ = false;
    const ProcessBody reply = process->Describe();
    return server_.Send(to, {.body = &reply, .size = sizeof(reply)});
  }
  Process::Delete(process);
}

void Supervisor::Exec(Request& request, ReplyTo to) {
  LaunchBody body;
  if (!ParseBody(request.bytes, request.size, &body) || !IsValid(body.target) ||
      body.target.length == 0) {
    return Answer(to, ReplyCode::kInvalid);
  }
  if (init_ == nullptr || init_->state != WireState::kRunning) {
    const WireState state = init_ != nullptr ? init_->state : WireState::kNone;
    return Answer(to, ReplyCode::kWrongState, static_cast<int32_t>(state));
  }
  if (Find(body.target) != nullptr) return Answer(to, ReplyCode::kExists);
  Process* process = ParseLaunch(request, &body, to);
  if (process == nullptr) return;
  if (process->plan.view().has(kPlanHasGate) || !process->plan.view().has(kPlanJoins)) {
    Answer(to, ReplyCode::kInvalid);
    return Process::Delete(process);
  }
  if ((body.flags & kFlagAttach) != 0) {
    const int error = process->io.Attach({0, 0}, &process->attach_stream);
    if (error != 0) {
      AnswerErrno(to, error);
      return Process::Delete(process);
    }
  }
  SetOomScore(/*protect=*/false);
  const bool launched = LaunchProcess(process, request, body, to);
  SetOomScore(/*protect=*/true);
  if (!launched) return Process::Delete(process);

  process->state = WireState::kStarting;
  process->ordinal = ++last_ordinal_;
  process->start_reply = to;
  Process** last = &execs_;
  while (*last != nullptr) last = &(*last)->next;
  *last = process;
  loop_.Watch(&process->status_watcher, process->launched.status, EPOLLIN);
}

Supervisor::Process* Supervisor::ParseLaunch(Request& request, LaunchBody* body, ReplyTo to) {
  const bool parsed = ParseBody(request.bytes, request.size, body) && IsValid(body->target);
  size_t needed_fds = 1;
  if (parsed && (body->flags & kFlagCgroup2) != 0) ++needed_fds;
  if (parsed && (body->flags & kFlagOomKills) != 0) ++needed_fds;
  if (!parsed || request.fd_count < needed_fds) {
    Answer(to, ReplyCode::kInvalid);
    return nullptr;
  }
  const bool is_init = static_cast<MessageType>(request.header.type) == MessageType::kCreate;
  Process* process = Process::New(this, is_init ? &log_ : nullptr);
  if (process == nullptr) {
    AnswerErrno(to, ENOMEM);
    return nullptr;
  }
  if (!is_init) process->id = body->target;
  const int error = process->plan.Map(std::move(request.fds[0]));
  if (error != 0) {
    error == EINVAL ? Answer(to, ReplyCode::kInvalid) : AnswerErrno(to, error);
    Process::Delete(process);
    return nullptr;
  }
  return process;
}

bool Supervisor::LaunchProcess(Process* process, Request& request, const LaunchBody& body,
                               ReplyTo to) {
  const PlanView& plan = process->plan.view();
  ChildEnds ends;
  if (!plan.has(kPlanHasConsole)) {
    const int error = process->io.MakePipes((body.flags & kFlagOpenStdin) != 0, &ends);
    if (error != 0) {
      AnswerErrno(to, error);
      return false;
    }
  }
  LaunchFds fds;
  fds.standard_input = ends.standard_input;
  fds.standard_output = ends.standard_output;
  fds.standard_error = ends.standard_error;
  size_t at = 1;
  if ((body.flags & kFlagCgroup2) != 0) fds.cgroup = request.fds[at++];
  if ((body.flags & kFlagOomKills) != 0) process->oom_kills = std::move(request.fds[at++]);
  int procs[kMaxCgroup1Fds];
  for (; at < request.fd_count && fds.cgroup_procs_count < kMaxCgroup1Fds; ++at) {
    procs[fds.cgroup_procs_count++] = request.fds[at].get();
  }
  fds.cgroup_procs = procs;
  if (plan.has(kPlanJoins)) fds.join = init_->launched.pidfd;

  const FailureRecord failure = Launch(plan, fds, OnCloned(), &process->launched);
  if (!failure.ok()) {
    AnswerFailure(*process, to, failure);
    return false;
  }
  if (plan.has(kPlanJoins)) process->launched.container = init_->launched.pid;
  process->start_time = ReadStartTime(process->launched.pid);
  if (process->launched.console.valid()) {
    process->io.AdoptConsole(std::move(process->launched.console));
  }
  return true;
}

void Supervisor::Start(ReplyTo to) {
  if (init_ == nullptr || init_->state != WireState::kCreated) {
    const WireState state = init_ != nullptr ? init_->state : WireState::kNone;
    return Answer(to, ReplyCode::kWrongState, static_cast<int32_t>(state));
  }
  const FailureRecord failure = OpenGate(init_->launched);
  if (!failure.ok()) return AnswerFailure(*init_, to, failure);
  init_->state = WireState::kStarting;
  init_->start_reply = to;
  loop_.Watch(&init_->status_watcher, init_->launched.status, EPOLLIN);
}

void Supervisor::StatusReady(void* process_pointer, uint32_t) {
  auto* process = static_cast<Process*>(process_pointer);
  process->supervisor->OnStatus(process);
}

void Supervisor::OnStatus(Process* process) {
  FailureRecord failure;
  const LaunchStatus status = ReadStatus(process->plan.view(), &process->launched, &failure);
  if (process->launched.console.valid()) {
    process->io.AdoptConsole(std::move(process->launched.console));
  }
  if (status == LaunchStatus::kPending) return;
  loop_.Stop(&process->status_watcher);
  process->launched.status.reset();
  if (status == LaunchStatus::kExecuted) return OnExecuted(process);
  AnswerFailure(*process, process->start_reply, failure);
  process->start_reply = ReplyTo();
  process->failed = process != init_;
}

void Supervisor::OnExecuted(Process* process) {
  process->state = WireState::kRunning;
  const PlanView& plan = process->plan.view();
  if (plan.begin(Phase::kPoststartHooks) != plan.end(Phase::kPoststartHooks)) {
    return RunPoststartHooks(process);
  }
  AnswerStarted(process);
}

void Supervisor::AnswerStarted(Process* process) {
  const ProcessBody body = process->Describe();
  server_.Send(process->start_reply,
               {.body = &body, .size = sizeof(body), .fd = process->attach_stream});
  process->start_reply = ReplyTo();
  process->attach_stream.reset();
  process->plan.Reset();
}

// In a process of their own: hooks may take as long as they like, and meanwhile somebody must read
// the container's output and be there to be told to kill it.
void Supervisor::RunPoststartHooks(Process* process) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return AnswerStarted(process);
  process->hook_result.reset(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t child = fork();
  if (child == 0) {
    // It holds copies of the control sockets: with the supervisor gone it must not keep them open.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    FailureRecord failure =
        RunHooks(process->plan.view(), Phase::kPoststartHooks, process->launched.pid);
    const bool told =
        write(write_end.get(), &failure, sizeof(failure)) == static_cast<ssize_t>(sizeof(failure));
    _exit(told ? EXIT_SUCCESS : EXIT_FAILURE);
  }
  write_end.reset();  // without a child, the end of the pipe says that the hooks did not run
  loop_.Watch(&process->hook_watcher, process->hook_result, EPOLLIN);
}

void Supervisor::HookReady(void* process_pointer, uint32_t) {
  auto* process = static_cast<Process*>(process_pointer);
  process->supervisor->OnHooksDone(process);
}

// runtime-spec, lifecycle: a poststart hook that fails is an error and the container is stopped.
void Supervisor::OnHooksDone(Process* process) {
  FailureRecord failure = MakeFailure(kFailedSetup, ECHILD);
  const ssize_t size = read(process->hook_result.get(), &failure, sizeof(failure));
  loop_.Stop(&process->hook_watcher);
  process->hook_result.reset();
  if (size == static_cast<ssize_t>(sizeof(failure)) && failure.ok()) return AnswerStarted(process);
  if (process->state == WireState::kRunning) {
    syscall(SYS_pidfd_send_signal, process->launched.pidfd.get(), SIGKILL, nullptr, 0);
  }
  AnswerFailure(*process, process->start_reply, failure);
  process->start_reply = ReplyTo();
}

void Supervisor::Signal(const Request& request, ReplyTo to) {
  SignalBody body;
  if (!ParseBody(request.bytes, request.size, &body) || body.signal < 0 ||
      body.signal > kMaxSignal) {
    return Answer(to, ReplyCode::kInvalid);
  }
  const Process* process = FindOrRefuse(body.target, to);
  if (process == nullptr) return;
  if (process->state == WireState::kExited) {
    return Answer(to, ReplyCode::kWrongState, static_cast<int32_t>(process->state));
  }
  const long result =
      syscall(SYS_pidfd_send_signal, process->launched.pidfd.get(), body.signal, nullptr, 0);
  AnswerErrno(to, result == 0 ? 0 : errno);
}

void Supervisor::Resize(const Request& request, ReplyTo to) {
  ResizeBody body;
  if (!ParseBody(request.bytes, request.size, &body)) return Answer(to, ReplyCode::kInvalid);
  Process* process = FindOrRefuse(body.target, to);
  if (process != nullptr) AnswerErrno(to, process->io.Resize(body.rows, body.columns));
}

void Supervisor::CloseStdin(const Request& request, ReplyTo to) {
  TargetBody body;
  if (!ParseBody(request.bytes, request.size, &body)) return Answer(to, ReplyCode::kInvalid);
  Process* process = FindOrRefuse(body.target, to);
  if (process == nullptr) return;
  process->io.CloseStdin();
  Answer(to, ReplyCode::kOk);
}

void Supervisor::Attach(const Request& request, ReplyTo to) {
  AttachBody body;
  if (!ParseBody(request.bytes, request.size, &body)) return Answer(to, ReplyCode::kInvalid);
  Process* process = FindOrRefuse(body.target, to);
  if (process == nullptr) return;
  UniqueFd client;
  const int error = process->io.Attach(body.offsets, &client);
  if (error != 0) return AnswerErrno(to, error);
  server_.Send(to, {.fd = client});
}

void Supervisor::Status(const Request& request, ReplyTo to) {
  StatusRequestBody body;
  if (!ParseBody(request.bytes, request.size, &body)) return Answer(to, ReplyCode::kInvalid);
  struct {
    StatusBody status;
    ExecEntry execs[kMaxStatusExecs];
  } reply;
  static_assert(sizeof(reply) == sizeof(StatusBody) + sizeof(ExecEntry) * kMaxStatusExecs);
  reply.status.supervisor_pid = getpid();
  if (init_ != nullptr) {
    reply.status.init = init_->Describe();
    reply.status.output_drained = init_->io.drained() ? 1 : 0;
  }
  reply.status.log_bytes = log_.accepted_bytes();
  reply.status.log_dropped_bytes = log_.dropped_bytes();
  for (const Process* exec = execs_; exec != nullptr; exec = exec->next) {
    if (exec->ordinal <= body.after || exec->failed) continue;
    if (reply.status.exec_count == kMaxStatusExecs) {
      reply.status.more = 1;
      break;
    }
    ExecEntry& entry = reply.execs[reply.status.exec_count++];
    entry.target = exec->id;
    entry.ordinal = exec->ordinal;
    entry.process = exec->Describe();
  }
  UniqueFd pidfd;
  if (body.want_pidfd != 0) {
    pidfd.reset(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
  }
  server_.Send(to, {.body = &reply,
                    .size = sizeof(StatusBody) + reply.status.exec_count * sizeof(ExecEntry),
                    .fd = pidfd});
}

void Supervisor::RemoveExec(const Request& request, ReplyTo to) {
  TargetBody body;
  if (!ParseBody(request.bytes, request.size, &body) || body.target.length == 0) {
    return Answer(to, ReplyCode::kInvalid);
  }
  Process* process = FindOrRefuse(body.target, to);
  if (process == nullptr) return;
  if (process->state != WireState::kExited) {
    return Answer(to, ReplyCode::kWrongState, static_cast<int32_t>(process->state));
  }
  RemoveProcess(process);
  Answer(to, ReplyCode::kOk);
}

void Supervisor::Shutdown(ReplyTo to) {
  if (init_ != nullptr && init_->state != WireState::kExited) {
    return Answer(to, ReplyCode::kWrongState, static_cast<int32_t>(init_->state));
  }
  log_.Finish(LogStream::kStdout);
  log_.Finish(LogStream::kStderr);
  log_.Flush();
  Answer(to, ReplyCode::kOk);
  done_ = true;
}

// ---- Exits

void Supervisor::SignalReady(void* self_pointer, uint32_t) {
  auto* self = static_cast<Supervisor*>(self_pointer);
  signalfd_siginfo info;
  while (read(self->signal_fd_.get(), &info, sizeof(info)) > 0) {
  }
  self->Reap();
}

void Supervisor::Reap() {
  siginfo_t info;
  rusage usage;
  while (PeekExited(&info, &usage)) {
    Process* process = nullptr;
    if (init_ != nullptr && init_->launched.pid == info.si_pid) process = init_;
    for (Process* exec = execs_; exec != nullptr && process == nullptr; exec = exec->next) {
      if (exec->launched.pid == info.si_pid && exec->state != WireState::kExited) process = exec;
    }
    // Others are orphans of the container that fell to this process as their subreaper, and the
    // processes that ran hooks.
    if (process != nullptr) OnExit(process, MakeExitRecord(info, usage));
    ReapProcess(info.si_pid);
    if (process != nullptr && process->failed) RemoveProcess(process);
  }
}

void Supervisor::OnExit(Process* process, const ExitRecord& record) {
  // A program that is quick, or a launch that failed, may be gone before its status was read.
  if (process->state == WireState::kStarting && process->launched.status.valid()) OnStatus(process);
  process->exit = record;
  process->state = WireState::kExited;
  // Now: systemd removes a unit's cgroup, and the count with it, as soon as it is empty.
  if (process->oom_kills.valid()) process->exit.oom_kills = ReadOomKills(process->oom_kills);
  process->oom_kills.reset();
  if (process == init_) RecordInitExit();
  process->launched.pidfd.reset();
  process->launched.status.reset();
  process->io.ProcessExited(process->exit, MonotonicNow());
  if (process->failed) return;
  ExitedBody body;
  body.target = process->id;
  body.exit = process->exit;
  server_.SendEvent(MessageType::kExited, &body, sizeof(body));
}

void Supervisor::RecordInitExit() {
  record_pending_ = WriteExitRecord(fds_.container_dir.get(), init_->exit) != 0;
}

void Supervisor::RemoveProcess(Process* process) {
  for (Process** link = &execs_; *link != nullptr; link = &(*link)->next) {
    if (*link != process) continue;
    *link = process->next;
    break;
  }
  Process::Delete(process);
}

int Supervisor::NextTimeoutMs() {
  const int64_t now = MonotonicNow();
  int64_t next = log_.WriteTails(now);
  if (next >= 0) next += now;
  const auto consider = [&next](int64_t due) {
    if (due >= 0 && (next < 0 || due < next)) next = due;
  };
  if (init_ != nullptr) consider(init_->io.Tick(now));
  for (Process* exec = execs_; exec != nullptr; exec = exec->next) consider(exec->io.Tick(now));
  if (record_pending_) {
    RecordInitExit();
    if (record_pending_) consider(now + kRecordRetryMs * int64_t{1'000'000});
  }
  TellLogState(now);
  if (log_.writable() != log_writable_told_) consider(log_told_at_ + kLogStateIntervalNs);
  if (next < 0) return -1;
  return next <= now ? 0 : static_cast<int>((next - now) / 1'000'000) + 1;
}

// A disk may be full and not full by turns: nobody wants to hear of each.
void Supervisor::TellLogState(int64_t now) {
  if (log_.writable() == log_writable_told_ || now < log_told_at_ + kLogStateIntervalNs) return;
  LogStateBody body;
  body.writable = log_.writable() ? 1 : 0;
  body.dropped_bytes = log_.dropped_bytes();
  server_.SendEvent(MessageType::kLogState, &body, sizeof(body));
  log_writable_told_ = log_.writable();
  log_told_at_ = now;
}

// ---- Out of memory: not this process first. Its children would inherit the score, so it is back
// at the daemon's, or 0 where that is lower, while one is cloned.

void Supervisor::OpenOomScore() {
  oom_score_fd_.reset(open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC));
  if (!oom_score_fd_.valid()) return;
  const ssize_t size = pread(oom_score_fd_.get(), oom_score_, sizeof(oom_score_), 0);
  oom_score_size_ = size > 0 ? static_cast<size_t>(size) : 0;
  // That the daemon is protected is no protection of containers.
  if (oom_score_[0] == '-') {
    oom_score_[0] = '0';
    oom_score_size_ = 1;
  }
}

void Supervisor::SetOomScore(bool protect) {
  if (oom_score_size_ == 0) return;
  const char* score = protect ? kProtectedOomScore : oom_score_;
  const size_t size = protect ? sizeof(kProtectedOomScore) - 1 : oom_score_size_;
  if (pwrite(oom_score_fd_.get(), score, size, 0) >= 0) return;
  oom_score_size_ = 0;  // not permitted: CAP_SYS_RESOURCE
  oom_score_fd_.reset();
}

}  // namespace ocid
