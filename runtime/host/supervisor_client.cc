#include "runtime/host/supervisor_client.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/base/sealed_memfd.h"
#include "runtime/host/launch_failure.h"

namespace ocid {
namespace {

// A plan is at most this large (plan_format.h), whatever the supervisor says.
absl::StatusOr<std::string> ReadPlan(BorrowedFd fd) {
  struct stat status = {};
  if (fstat(fd.get(), &status) != 0) return absl::ErrnoToStatus(errno, "stat a launch plan");
  if (status.st_size < 0 || static_cast<uint64_t>(status.st_size) > kMaxPlanBytes) {
    return absl::DataLossError("supervisor: a launch plan of impossible size");
  }
  std::string bytes(static_cast<size_t>(status.st_size), '\0');
  const ssize_t size = pread(fd.get(), bytes.data(), bytes.size(), 0);
  if (size != status.st_size) return absl::DataLossError("supervisor: truncated launch plan");
  return bytes;
}

std::string_view StateName(int32_t state) {
  switch (static_cast<WireState>(state)) {
    case WireState::kNone:
      return "not created";
    case WireState::kCreated:
      return "created";
    case WireState::kStarting:
      return "starting";
    case WireState::kRunning:
      return "running";
    case WireState::kExited:
      return "exited";
  }
  return "in an unknown state";
}

std::string Quote(std::string_view text) {
  return absl::StrCat("'", absl::string_view(text.data(), text.size()), "'");
}

std::string SubjectOf(std::string_view exec_id) {
  return exec_id.empty() ? "container" : absl::StrCat("exec ", Quote(exec_id));
}

absl::Status LaunchError(const ControlReply& reply) {
  FailureBody body;
  const absl::Status parsed = reply.Parse(&body);
  if (!parsed.ok()) return parsed;
  const absl::StatusOr<std::string> plan = ReadPlan(reply.fd);
  if (!plan.ok()) return plan.status();
  return DescribeLaunchFailure(*plan, body.failure);
}

// What a reply means, `subject` being what was acted on.
absl::Status ToStatus(const ControlReply& reply, const std::string& subject) {
  switch (reply.code) {
    case ReplyCode::kOk:
      return absl::OkStatus();
    case ReplyCode::kInvalid:
      return absl::InvalidArgumentError(absl::StrCat(subject, ": refused by the supervisor"));
    case ReplyCode::kWrongState: {
      const std::string_view state = StateName(reply.value);
      return absl::FailedPreconditionError(absl::StrCat(
          subject, ": the process is ", absl::string_view(state.data(), state.size())));
    }
    case ReplyCode::kNotFound:
      return absl::NotFoundError(absl::StrCat(subject, ": no such process"));
    case ReplyCode::kExists:
      return absl::AlreadyExistsError(absl::StrCat(subject, ": the id is in use"));
    case ReplyCode::kLaunchFailed:
      return LaunchError(reply);
    case ReplyCode::kSystemError:
      // ESRCH: it ended a moment ago and has not been reaped yet.
      if (reply.value == ESRCH) {
        return absl::FailedPreconditionError(absl::StrCat(subject, ": the process has exited"));
      }
      return absl::ErrnoToStatus(reply.value, subject);
  }
  return absl::DataLossError(absl::StrCat(subject, ": unknown answer from the supervisor"));
}

template <typename T>
std::string_view BytesOf(const T& body) {
  return {reinterpret_cast<const char*>(&body), sizeof(body)};
}

absl::Status MakeTargetOf(std::string_view exec_id, TargetId* target) {
  if (MakeTarget(exec_id.data(), exec_id.size(), target)) return absl::OkStatus();
  return absl::InvalidArgumentError("the exec's id is too long");
}

std::vector<BorrowedFd> LaunchFdsOf(BorrowedFd plan, BorrowedFd cgroup2, BorrowedFd oom_kills,
                                    const std::vector<BorrowedFd>& cgroup1) {
  std::vector<BorrowedFd> fds = {plan};
  if (cgroup2.valid()) fds.push_back(cgroup2);
  if (oom_kills.valid()) fds.push_back(oom_kills);
  fds.insert(fds.end(), cgroup1.begin(), cgroup1.end());
  return fds;
}

uint32_t LaunchFlags(bool open_stdin, BorrowedFd cgroup2, bool attach) {
  return (open_stdin ? kFlagOpenStdin : 0u) | (cgroup2.valid() ? kFlagCgroup2 : 0u) |
         (attach ? kFlagAttach : 0u);
}

ProcessIdentity IdentityOf(const ProcessBody& body) {
  return {.pid = static_cast<pid_t>(body.pid), .start_time = body.start_time};
}

ProcessStatus StatusOf(const ProcessBody& body) {
  ProcessStatus status;
  status.process = IdentityOf(body);
  status.exit = body.exit;
  switch (static_cast<WireState>(body.state)) {
    case WireState::kNone:
      status.state = ProcessState::kNone;
      break;
    case WireState::kCreated:
      status.state = ProcessState::kCreated;
      break;
    case WireState::kStarting:
      status.state = ProcessState::kStarting;
      break;
    case WireState::kRunning:
      status.state = ProcessState::kRunning;
      break;
    case WireState::kExited:
      status.state = ProcessState::kExited;
      break;
  }
  return status;
}

// A request about one process whose reply has no body.
template <typename Body>
absl::Status CallAbout(ControlChannel& channel, MessageType type, std::string_view exec_id,
                       Body body, absl::Duration timeout) {
  const absl::Status named = MakeTargetOf(exec_id, &body.target);
  if (!named.ok()) return named;
  const absl::StatusOr<ControlReply> reply =
      channel.Call(type, BytesOf(body), {}, absl::Now() + timeout);
  return reply.ok() ? ToStatus(*reply, SubjectOf(exec_id)) : reply.status();
}

}  // namespace

SupervisorClient::SupervisorClient(std::shared_ptr<ControlChannel> channel,
                                   std::shared_ptr<SupervisorProcess> process, ProcessIdentity init)
    : channel_(std::move(channel)), process_(std::move(process)), init_(init) {}

SupervisorClient::~SupervisorClient() { channel_->Close(); }

ControlChannel::Events SupervisorClient::ToEvents(SupervisorCallbacks callbacks) {
  ControlChannel::Events events;
  events.on_closed = callbacks.on_lost;
  if (callbacks.on_log_state) {
    events.on_log_state = [on_log_state = callbacks.on_log_state](const LogStateBody& body) {
      on_log_state({.writable = body.writable != 0, .dropped_bytes = body.dropped_bytes});
    };
  }
  events.on_exited = [callbacks = std::move(callbacks)](const ExitedBody& body) {
    if (body.target.length > 0) {
      const std::string exec_id(body.target.bytes, body.target.length);
      if (callbacks.on_exec_exit) callbacks.on_exec_exit(exec_id, body.exit);
    } else if (callbacks.on_init_exit) {
      callbacks.on_init_exit(body.exit);
    }
  };
  return events;
}

absl::StatusOr<ProcessIdentity> SupervisorClient::Create(ControlChannel& channel,
                                                         const CreateRequest& request,
                                                         BorrowedFd plan, absl::Time deadline) {
  LaunchBody body;
  body.flags = LaunchFlags(request.open_stdin, request.cgroup2_dir, /*attach=*/false) |
               (request.oom_kills.valid() ? kFlagOomKills : 0u);
  body.log_max_bytes = request.log.max_bytes;
  body.log_max_files = request.log.max_files;
  body.log_format = static_cast<uint32_t>(request.log.cri_format ? LogFileFormat::kCri : LogFileFormat::kJson);
  const absl::StatusOr<ControlReply> reply =
      channel.Call(MessageType::kCreate, BytesOf(body),
                   LaunchFdsOf(plan, request.cgroup2_dir, request.oom_kills, request.cgroup1_procs), deadline);
  if (!reply.ok()) return reply.status();
  const absl::Status status =
      ToStatus(*reply, absl::StrCat("create container ", Quote(request.id)));
  if (!status.ok()) return status;
  ProcessBody process;
  const absl::Status parsed = reply->Parse(&process);
  if (!parsed.ok()) return parsed;
  return IdentityOf(process);
}

absl::StatusOr<SupervisorStatus> SupervisorClient::QueryStatus(ControlChannel& channel,
                                                               UniqueFd* pidfd,
                                                               absl::Time deadline) {
  SupervisorStatus status;
  StatusRequestBody request;
  request.want_pidfd = pidfd != nullptr ? 1 : 0;
  StatusBody page;
  do {
    absl::StatusOr<ControlReply> reply =
        channel.Call(MessageType::kStatus, BytesOf(request), {}, deadline);
    if (!reply.ok()) return reply.status();
    const absl::Status answered = ToStatus(*reply, "status of the container");
    if (!answered.ok()) return answered;
    const absl::Status parsed = reply->Parse(&page);
    if (!parsed.ok()) return parsed;
    if (reply->body.size() < sizeof(page) + page.exec_count * sizeof(ExecEntry) ||
        (page.more != 0 && page.exec_count == 0)) {
      return absl::DataLossError("supervisor: truncated status");
    }
    if (request.want_pidfd != 0) *pidfd = std::move(reply->fd);
    request.want_pidfd = 0;
    for (uint32_t i = 0; i < page.exec_count; ++i) {
      ExecEntry entry;
      memcpy(&entry, reply->body.data() + sizeof(page) + i * sizeof(entry), sizeof(entry));
      if (!IsValid(entry.target)) return absl::DataLossError("supervisor: malformed status");
      status.execs.push_back({.exec_id = std::string(entry.target.bytes, entry.target.length),
                              .status = StatusOf(entry.process)});
      request.after = entry.ordinal;
    }
  } while (page.more != 0);
  status.supervisor_pid = static_cast<pid_t>(page.supervisor_pid);
  status.init = StatusOf(page.init);
  status.output_drained = page.output_drained != 0;
  status.log_bytes = page.log_bytes;
  status.log_dropped_bytes = page.log_dropped_bytes;
  return status;
}

absl::Status SupervisorClient::Start(absl::Duration timeout) {
  const absl::StatusOr<ControlReply> reply =
      channel_->Call(MessageType::kStart, {}, {}, absl::Now() + timeout);
  return reply.ok() ? ToStatus(*reply, "start container") : reply.status();
}

absl::Status SupervisorClient::Signal(int signal, absl::Duration timeout) {
  return SignalExec({}, signal, timeout);
}

absl::Status SupervisorClient::SignalExec(std::string_view exec_id, int signal,
                                          absl::Duration timeout) {
  SignalBody body;
  body.signal = signal;
  return CallAbout(*channel_, MessageType::kSignal, exec_id, body, timeout);
}

absl::StatusOr<ExecStarted> SupervisorClient::Exec(const ExecRequest& request,
                                                   absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  LaunchBody body;
  const absl::Status named = MakeTargetOf(request.exec_id, &body.target);
  if (!named.ok()) return named;
  body.flags = LaunchFlags(request.open_stdin, request.cgroup2_dir, request.attach);
  const absl::StatusOr<UniqueFd> plan = SealBytes("ocid-plan", request.plan);
  if (!plan.ok()) return plan.status();
  absl::StatusOr<ControlReply> reply =
      channel_->Call(MessageType::kExec, BytesOf(body),
                     LaunchFdsOf(*plan, request.cgroup2_dir, {}, request.cgroup1_procs), deadline);
  if (!reply.ok()) return reply.status();
  const absl::Status status = ToStatus(*reply, SubjectOf(request.exec_id));
  if (!status.ok()) return status;
  ProcessBody process;
  const absl::Status parsed = reply->Parse(&process);
  if (!parsed.ok()) return parsed;
  return ExecStarted{.process = IdentityOf(process), .stream = std::move(reply->fd)};
}

absl::Status SupervisorClient::Resize(std::string_view exec_id, uint16_t rows, uint16_t columns,
                                      absl::Duration timeout) {
  ResizeBody body;
  body.rows = rows;
  body.columns = columns;
  const absl::Status status = CallAbout(*channel_, MessageType::kResize, exec_id, body, timeout);
  return status;
}

absl::Status SupervisorClient::CloseStdin(std::string_view exec_id, absl::Duration timeout) {
  return CallAbout(*channel_, MessageType::kCloseStdin, exec_id, TargetBody(), timeout);
}

absl::StatusOr<UniqueFd> SupervisorClient::Attach(std::string_view exec_id, AttachOffsets offsets,
                                                  absl::Duration timeout) {
  AttachBody body;
  const absl::Status named = MakeTargetOf(exec_id, &body.target);
  if (!named.ok()) return named;
  body.offsets[0] = offsets.stdout_offset;
  body.offsets[1] = offsets.stderr_offset;
  absl::StatusOr<ControlReply> reply =
      channel_->Call(MessageType::kAttach, BytesOf(body), {}, absl::Now() + timeout);
  if (!reply.ok()) return reply.status();
  const absl::Status status = ToStatus(*reply, SubjectOf(exec_id));
  if (!status.ok()) return status;
  if (!reply->fd.valid()) return absl::DataLossError("supervisor: attached without a stream");
  return std::move(reply->fd);
}

absl::StatusOr<SupervisorStatus> SupervisorClient::Status(absl::Duration timeout) {
  return QueryStatus(*channel_, nullptr, absl::Now() + timeout);
}

absl::Status SupervisorClient::RemoveExec(std::string_view exec_id, absl::Duration timeout) {
  return CallAbout(*channel_, MessageType::kRemoveExec, exec_id, TargetBody(), timeout);
}

absl::Status SupervisorClient::Shutdown(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  const absl::StatusOr<ControlReply> reply =
      channel_->Call(MessageType::kShutdown, {}, {}, deadline);
  const bool gone = absl::IsUnavailable(reply.status());
  if (!reply.ok() && !gone) return reply.status();
  if (reply.ok()) {
    const absl::Status status = ToStatus(*reply, "shut the supervisor down");
    if (!status.ok()) return status;
  }
  channel_->Close();
  if (process_->WaitGone(deadline)) return absl::OkStatus();
  return absl::DeadlineExceededError("the container's supervisor did not exit in time");
}

absl::Status SupervisorClient::KillSupervisor() { return process_->Kill(); }

}  // namespace ocid
