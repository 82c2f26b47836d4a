#include "client/cli/attach_session.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/cli/exit_code.h"
#include "client/error.h"

namespace ocid::cli {
namespace {

constexpr size_t kInputBytes = 32 << 10;
constexpr absl::Duration kReattachFor = absl::Seconds(30);
constexpr absl::Duration kPipePatience = absl::Seconds(1);
constexpr absl::Duration kReattachPause = absl::Milliseconds(500);

}  // namespace

absl::StatusOr<std::unique_ptr<AttachSession>> AttachSession::Open(Client& client, Stdio stdio,
                                                                   SignalRelay& signals,
                                                                   AttachTarget target) {
  std::unique_ptr<AttachSession> session(
      new AttachSession(client, stdio, signals, std::move(target)));
  if (const absl::Status status = session->Attach(); !status.ok()) return status;
  signals.SetHandler([raw = session.get()](int signal) { raw->HandleSignal(signal); });
  return session;
}

AttachSession::AttachSession(Client& client, Stdio stdio, SignalRelay& signals, AttachTarget target)
    : client_(client),
      stdio_(stdio),
      signals_(signals),
      target_(std::move(target)),
      stop_input_(eventfd(0, EFD_CLOEXEC)) {}

AttachSession::~AttachSession() {
  signals_.SetHandler(nullptr);
  StopInput();
}

absl::Status AttachSession::Attach() {
  stream_ = client_.execs().Attach();
  v1::AttachRequest request;
  v1::AttachRequest::Open& open = *request.mutable_open();
  open.set_container_id(target_.container_id);
  open.set_exec_id(target_.exec_id);
  open.set_stdout_offset(stdout_offset_);
  open.set_stderr_offset(stderr_offset_);
  open.set_start(target_.start_exec);
  v1::AttachResponse response;
  if (!stream_->Write(request) || !stream_->Read(response)) {
    const absl::Status status = stream_->Finish();
    return status.ok() ? absl::InternalError("attach: the daemon closed the stream") : status;
  }
  if (!response.has_opened())
    return absl::InternalError("attach: the daemon did not open the stream");
  const v1::AttachResponse::Opened& opened = response.opened();
  const uint64_t lost =
      (opened.stdout_offset() - stdout_offset_) + (opened.stderr_offset() - stderr_offset_);
  if (stdout_offset_ + stderr_offset_ > 0 && lost > 0) {
    Write(stdio_.err, absl::StrCat("ocictl: ", lost, " bytes of output are no longer kept\n"));
  }
  stdout_offset_ = opened.stdout_offset();
  stderr_offset_ = opened.stderr_offset();
  target_.start_exec = false;
  return absl::OkStatus();
}

absl::StatusOr<AttachEnd> AttachSession::Run() {
  std::optional<RawTerminal> raw;
  if (target_.terminal && target_.send_stdin) {
    absl::StatusOr<RawTerminal> opened = RawTerminal::Open(stdio_.in);
    if (!opened.ok()) return opened.status();
    raw.emplace(*std::move(opened));
  }
  if (target_.terminal) SendSize();

  AttachEnd end;
  for (;;) {
    StartInput();
    const bool exited = Pump(end.exit);
    if (exited || detached_) {
      // Unblocks an input thread that waits for a process that reads no more.
      stream_->Cancel();
      StopInput();
      end.detached = !exited;
      return end;
    }
    // The end of the call unblocks it too, and a cancellation would hide how it ended.
    const absl::Status status = stream_->Finish();
    StopInput();
    if (IsUnreachable(DecodeError(status))) {
      const absl::Status reattached = Reattach(status);
      if (reattached.ok()) continue;
      // The process may have ended while the daemon was away: then Wait knows how.
      if (IsUnreachable(DecodeError(reattached))) return reattached;
    } else if (!status.ok()) {
      return status;
    }
    absl::StatusOr<v1::ExitStatus> exit = WaitForExit();
    if (!exit.ok()) return exit.status();
    end.exit = *std::move(exit);
    return end;
  }
}

bool AttachSession::Pump(v1::ExitStatus& exit) {
  v1::AttachResponse response;
  while (stream_->Read(response)) {
    switch (response.message_case()) {
      case v1::AttachResponse::kStdout:
        Write(stdio_.out, response.stdout().data());
        stdout_offset_ = response.stdout().offset() + response.stdout().data().size();
        break;
      case v1::AttachResponse::kStderr:
        Write(stdio_.err, response.stderr().data());
        stderr_offset_ = response.stderr().offset() + response.stderr().data().size();
        break;
      case v1::AttachResponse::kExit:
        exit = response.exit();
        return true;
      case v1::AttachResponse::kOpened:
      case v1::AttachResponse::MESSAGE_NOT_SET:
        break;
    }
  }
  return false;
}

// Output goes out as it comes: the user may be waiting for a prompt.
void AttachSession::Write(int fd, std::string_view bytes) {
  Output output(fd);
  output.Write(bytes);
  output.Flush();
  if (!output.closed() || fd != stdio_.out) return;
  const absl::Time now = absl::Now();
  if (reader_gone_ == absl::InfiniteFuture()) {
    reader_gone_ = now;
    SendSignal(SIGPIPE);
  } else if (now - reader_gone_ > kPipePatience) {
    reader_gone_ = now;
    SendSignal(SIGKILL);
  }
}

absl::Status AttachSession::Reattach(const absl::Status& lost) {
  const absl::Time deadline = absl::Now() + kReattachFor;
  absl::Status status = lost;
  while (absl::Now() < deadline && !given_up_) {
    // Not a sleep: gRPC reads a connection's first bytes only while somebody waits for them.
    if (!client_.WaitUntilReachable(kReattachPause)) continue;
    status = Attach();
    if (!IsUnreachable(DecodeError(status))) return status;
  }
  return status;
}

absl::StatusOr<v1::ExitStatus> AttachSession::WaitForExit() {
  if (target_.exec_id.empty()) {
    v1::WaitContainerRequest request;
    request.set_container_id(target_.container_id);
    const auto response = client_.containers().Wait(request);
    if (!response.ok()) return response.status();
    return response->exit_status();
  }
  v1::WaitExecRequest request;
  request.set_container_id(target_.container_id);
  request.set_exec_id(target_.exec_id);
  const auto response = client_.execs().Wait(request);
  if (!response.ok()) return response.status();
  return response->exit_status();
}

void AttachSession::StartInput() {
  if (!target_.send_stdin || input_ended_) return;
  input_thread_ = std::thread([this] { ReadInput(); });
}

void AttachSession::StopInput() {
  if (!input_thread_.joinable()) return;
  uint64_t count = 1;
  // An eventfd takes the first increment always, and gives it back at once.
  [[maybe_unused]] ssize_t done = ::write(stop_input_.get(), &count, sizeof(count));
  input_thread_.join();
  done = ::read(stop_input_.get(), &count, sizeof(count));
}

void AttachSession::ReadInput() {
  std::array<char, kInputBytes> buffer;
  for (;;) {
    pollfd fds[] = {{.fd = stop_input_.get(), .events = POLLIN, .revents = 0},
                    {.fd = stdio_.in, .events = POLLIN, .revents = 0}};
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) return;
    if (fds[0].revents != 0) return;
    if (fds[1].revents == 0) continue;
    const ssize_t count = ::read(stdio_.in, buffer.data(), buffer.size());
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    v1::AttachRequest request;
    if (count <= 0) {
      input_ended_ = true;
      request.set_close_stdin(true);
      // Where the stream has ended meanwhile, the main thread sees it too.
      static_cast<void>(stream_->Write(request));
      return;
    }
    std::string typed(buffer.data(), static_cast<size_t>(count));
    if (target_.terminal) typed = detach_keys_.Feed(typed);
    if (!typed.empty()) {
      request.set_stdin(std::move(typed));
      if (!stream_->Write(request)) return;
    }
    if (detach_keys_.pressed()) {
      detached_ = true;
      stream_->Cancel();
      return;
    }
  }
}

void AttachSession::HandleSignal(int signal) {
  if (signal != SIGWINCH) {
    SendSignal(signal);
  } else if (target_.terminal) {
    SendSize();
  }
}

void AttachSession::SendSignal(int signal) {
  absl::Status status;
  if (target_.exec_id.empty()) {
    v1::KillContainerRequest request;
    request.set_container_id(target_.container_id);
    request.set_signal(SignalName(signal));
    status = client_.containers().Kill(request);
  } else {
    v1::KillExecRequest request;
    request.set_container_id(target_.container_id);
    request.set_exec_id(target_.exec_id);
    request.set_signal(SignalName(signal));
    status = client_.execs().Kill(request);
  }
  // Any other failure says that the process has ended, which the stream says better.
  if (IsUnreachable(DecodeError(status))) given_up_ = true;
}

void AttachSession::SendSize() {
  const std::optional<v1::ConsoleSize> size = GetConsoleSize(stdio_.in);
  if (!size.has_value()) return;
  v1::ResizeExecRequest request;
  request.set_container_id(target_.container_id);
  request.set_exec_id(target_.exec_id);
  *request.mutable_size() = *size;
  // A process that has just ended has no terminal any more; nobody needs to hear of it.
  static_cast<void>(client_.execs().Resize(request));
}

}  // namespace ocid::cli
