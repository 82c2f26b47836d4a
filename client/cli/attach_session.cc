#include "client/cli/attach_session.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <deque>
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

constexpr size_t kInputBytes = 64 << 10;
constexpr size_t kInputAhead = 256 << 10;  // exec.proto, AttachRequest.Open.confirm
constexpr size_t kConfirmStep = 64 << 10;  // likewise
constexpr absl::Duration kReattachFor = absl::Seconds(30);
constexpr absl::Duration kPipePatience = absl::Seconds(1);
constexpr absl::Duration kNotServingPause = absl::Milliseconds(50);
constexpr absl::Duration kReattachPause = absl::Milliseconds(500);
// A daemon that restarts is back by then, and nobody needs to hear of it.
constexpr absl::Duration kQuietReattach = absl::Seconds(3);

}  // namespace

int DetachedCode(const AttachEnd& end) { return end.signal == 0 ? kSuccess : 128 + end.signal; }

void AddDetachKeys(CLI::App& app, std::string& keys) {
  app.add_option("--detach-keys", keys,
                 "Keys that leave a terminal's process running: ctrl-p,ctrl-q; ctrl-]; none")
      ->type_name("KEYS");
}

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
  {
    const MutexLock lock(stream_mutex_);
    stream_ = client_.execs().Attach();
    if (detached_) stream_->Cancel();
  }
  v1::AttachRequest request;
  v1::AttachRequest::Open& open = *request.mutable_open();
  open.set_container_id(target_.container_id);
  open.set_exec_id(target_.exec_id);
  open.set_stdout_offset(stdout_offset_);
  open.set_stderr_offset(stderr_offset_);
  open.set_start(target_.start_exec);
  open.set_confirm(true);
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
  if (attached_before_ && lost > 0) {
    Write(stdio_.err, absl::StrCat("ocictl: ", lost, " bytes of output are no longer kept\n"));
  }
  stdout_offset_ = opened.stdout_offset();
  stderr_offset_ = opened.stderr_offset();
  unconfirmed_output_ = 0;
  target_.start_exec = false;
  ResumeInput(opened.stdin_offset());
  if (response.has_stdin_taken()) TakeInputTaken(response.stdin_taken());
  return absl::OkStatus();
}

// What arrived need not be kept; what did not is sent again.
void AttachSession::ResumeInput(uint64_t arrived) {
  std::deque<std::string> again;
  {
    const MutexLock lock(input_mutex_);
    if (!std::exchange(attached_before_, true)) sent_input_begin_ = sent_input_end_ = arrived;
    while (!sent_input_.empty() && sent_input_begin_ < arrived) {
      std::string& first = sent_input_.front();
      const size_t done = std::min<uint64_t>(arrived - sent_input_begin_, first.size());
      first.erase(0, done);
      sent_input_begin_ += done;
      if (first.empty()) sent_input_.pop_front();
    }
    // Of a process that was attached to by others meanwhile: its input is not ours alone.
    sent_input_begin_ = std::max(sent_input_begin_, arrived);
    again = sent_input_;
    uint64_t bytes = 0;
    for (const std::string& piece : again) bytes += piece.size();
    sent_input_end_ = sent_input_begin_ + bytes;
    input_taken_offset_ = std::max(input_taken_offset_, arrived);
  }
  v1::AttachRequest request;
  for (std::string& piece : again) {
    request.set_stdin(std::move(piece));
    // Where the stream has ended again, reading from it says so.
    static_cast<void>(Send(request));
  }
  if (input_ended_) {
    request.set_close_stdin(true);
    static_cast<void>(Send(request));
  }
}

bool AttachSession::Send(const v1::AttachRequest& request) {
  const MutexLock lock(write_mutex_);
  return stream_->Write(request);
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
      end.signal = exited ? 0 : end_signal_.load();
      return end;
    }
    // The end of the call unblocks it too, and a cancellation would hide how it ended.
    const absl::Status status = stream_->Finish();
    StopInput();
    if (IsAway(DecodeError(status))) {
      const absl::Status reattached = Reattach(status, raw);
      if (reattached.ok()) {
        if (target_.terminal) SendSize();
        continue;
      }
      if (detached_) {
        end.detached = true;
        end.signal = end_signal_;
        return end;
      }
      // The process may have ended while the daemon was away: then Wait knows how.
      if (IsAway(DecodeError(reattached))) return reattached;
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
    if (response.has_stdin_taken()) TakeInputTaken(response.stdin_taken());
    switch (response.message_case()) {
      case v1::AttachResponse::kStdout:
        Write(stdio_.out, response.stdout().data());
        unconfirmed_output_ += response.stdout().data().size();
        stdout_offset_ = response.stdout().offset() + response.stdout().data().size();
        break;
      case v1::AttachResponse::kStderr:
        Write(stdio_.err, response.stderr().data());
        unconfirmed_output_ += response.stderr().data().size();
        stderr_offset_ = response.stderr().offset() + response.stderr().data().size();
        break;
      case v1::AttachResponse::kExit:
        exit = response.exit();
        return true;
      case v1::AttachResponse::kOpened:
      case v1::AttachResponse::MESSAGE_NOT_SET:
        break;
    }
    if (unconfirmed_output_ >= kConfirmStep) ConfirmOutput();
  }
  return false;
}

// The daemon sends on, and keeps no more of what we have.
void AttachSession::ConfirmOutput() {
  unconfirmed_output_ = 0;
  v1::AttachRequest request;
  request.mutable_received()->set_stdout_offset(stdout_offset_);
  request.mutable_received()->set_stderr_offset(stderr_offset_);
  static_cast<void>(Send(request));
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

void AttachSession::TakeInputTaken(uint64_t offset) {
  const MutexLock lock(input_mutex_);
  if (offset <= input_taken_offset_) return;
  input_taken_offset_ = offset;
  while (!sent_input_.empty() && sent_input_begin_ + sent_input_.front().size() <= offset) {
    sent_input_begin_ += sent_input_.front().size();
    sent_input_.pop_front();
  }
  input_taken_.SignalAll();
}

absl::Status AttachSession::Reattach(const absl::Status& lost, std::optional<RawTerminal>& raw) {
  const absl::Time begin = absl::Now();
  const absl::Time deadline = begin + kReattachFor;
  const bool was_raw = raw.has_value();
  absl::Status status = lost;
  while (absl::Now() < deadline && !given_up_) {
    // Not a sleep: gRPC reads a connection's first bytes only while somebody waits for them.
    if (!client_.WaitUntilReachable(kReattachPause)) {
      if (raw.has_value() && absl::Now() - begin > kQuietReattach) {
        // Keys do not reach anybody: Ctrl-C is to work as everywhere.
        raw.reset();
        Write(stdio_.err, "\nocictl: the daemon is away; waiting for it\n");
      }
      continue;
    }
    status = Attach();
    if (status.ok() && was_raw && !raw.has_value()) {
      absl::StatusOr<RawTerminal> opened = RawTerminal::Open(stdio_.in);
      if (!opened.ok()) return opened.status();
      raw.emplace(*std::move(opened));
    }
    if (!IsAway(DecodeError(status))) return status;
    // It serves soon: it is taking over its containers.
    absl::SleepFor(kNotServingPause);
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
  if (!target_.send_stdin || input_ended_ || detached_) return;
  {
    const MutexLock lock(input_mutex_);
    input_stops_ = false;
  }
  input_thread_ = std::thread([this] { ReadInput(); });
}

void AttachSession::StopInput() {
  if (!input_thread_.joinable()) return;
  {
    const MutexLock lock(input_mutex_);
    input_stops_ = true;
    input_taken_.SignalAll();
  }
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
      static_cast<void>(Send(request));
      return;
    }
    std::string typed(buffer.data(), static_cast<size_t>(count));
    if (target_.terminal) typed = target_.detach_keys.Feed(typed);
    if (!typed.empty() && !SendInput(std::move(typed))) return;
    if (target_.detach_keys.pressed()) {
      detached_ = true;
      stream_->Cancel();
      return;
    }
  }
}

// Keeps them until they are taken. False where the session, or this stream, ends.
bool AttachSession::SendInput(std::string bytes) {
  v1::AttachRequest request;
  {
    const MutexLock lock(input_mutex_);
    while (!input_stops_ && sent_input_end_ - input_taken_offset_ >= kInputAhead &&
           !sent_input_.empty()) {
      input_taken_.Wait(input_mutex_);
    }
    request.set_stdin(bytes);
    sent_input_end_ += bytes.size();
    sent_input_.push_back(std::move(bytes));
    if (input_stops_) return false;  // they go with the next attachment
  }
  return Send(request);
}

void AttachSession::HandleSignal(int signal) {
  if (target_.terminal && (signal == SIGTERM || signal == SIGHUP)) {
    end_signal_ = signal;
    detached_ = true;
    given_up_ = true;
    const MutexLock lock(stream_mutex_);
    stream_->Cancel();
  } else if (signal != SIGWINCH) {
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
