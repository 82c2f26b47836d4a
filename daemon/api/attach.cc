#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "daemon/api/exec_service.h"
#include "daemon/api/status_codec.h"
#include "runtime/base/error_details.h"
#include "runtime/base/mutex.h"
#include "runtime/host/attach_stream.h"

namespace ocid {
namespace {

constexpr size_t kMaxStdinBytes = 1 << 20;  // of one message
// Of input, from a client with `confirm`, that the process has not taken. Twice what it may send: one
// message may overlap with the news of it.
constexpr size_t kMaxInputAhead = 2 * kStdinWindow;
constexpr size_t kMaxOutputBytes = 256 << 10;  // of one message

absl::Status InvalidMessage(std::string_view field, std::string_view description) {
  RequestCheck check;
  check.Fail(field, description);
  return check.Finish();
}

// One attachment. Two chains run side by side, each with one step at a time:
//
//   client -> process   read a message, act on it, read the next      input waits here; a client that
//                                                                     does not confirm is not read
//                                                                     meanwhile, one that does is: what
//                                                                     it confirms may be what the
//                                                                     process waits for
//   process -> client   take frames, write a message, take the next   a client that does not read
//                                                                     stops the chain, and so the frames
//
// and both wait for the same socket through the poller, which holds a weak reference. What goes to the
// socket is under a lock of its own, as either chain may bring news that lets it go on. gRPC holds the
// strong reference until OnDone. Whatever ends the call goes through End, once; from then on no chain
// starts another step.
class AttachCall final : public grpc::ServerBidiReactor<v1::AttachRequest, v1::AttachResponse>,
                         public std::enable_shared_from_this<AttachCall> {
 public:
  static grpc::ServerBidiReactor<v1::AttachRequest, v1::AttachResponse>* Start(
      const ApiContext& api, grpc::CallbackServerContext* context) {
    auto attachment = std::shared_ptr<AttachCall>(new AttachCall(api, context));
    attachment->self_ = attachment;
    const std::weak_ptr<AttachCall> weak = attachment;
    attachment->cancellation_->OnCancel([weak] {
      if (const auto alive = weak.lock()) alive->OnCancelled();
    });
    attachment->NextRead();
    return attachment.get();
  }

 private:
  AttachCall(const ApiContext& api, grpc::CallbackServerContext* context)
      : api_(api), context_(context), drain_id_(api.drain.Register(cancellation_)) {}

  // ---- client -> process

  void OnReadDone(bool ok) override {
    // The client sends no more. What it did not close stays open: it may attach again.
    if (!ok) {
      if (!opened_) End(InvalidMessage("open", "must be the first message"));
      return;
    }
    if (!opened_) return Open();
    switch (request_.message_case()) {
      case v1::AttachRequest::kStdin:
        if (request_.stdin().size() > kMaxStdinBytes) {
          return End(InvalidMessage("stdin", "is longer than 1 MiB"));
        }
        return TakeInput();
      case v1::AttachRequest::kCloseStdin:
        return TakeInput();
      case v1::AttachRequest::kReceived:
        return TakeReceived();
      case v1::AttachRequest::kResize:
        return Resize();
      case v1::AttachRequest::kSignal:
        return Signal();
      case v1::AttachRequest::kOpen:
        return End(InvalidMessage("open", "may be the first message alone"));
      case v1::AttachRequest::MESSAGE_NOT_SET:
        return End(InvalidMessage("message", "is empty"));
    }
  }

  void Open() {
    if (!request_.has_open()) return End(InvalidMessage("open", "must be the first message"));
    opened_ = true;
    open_ = request_.open();
    {
      const MutexLock lock(mutex_);
      admitting_ = true;
    }
    const std::shared_ptr<CallScope> scope = api_.gate.Admit(*context_, request_, cancellation_);
    bool ended = false;
    bool cancelled = false;
    {
      const MutexLock lock(mutex_);
      admitting_ = false;
      ended = ended_;
      cancelled = cancelled_;
      if (!ended) scope_ = scope;
    }
    if (ended) return void(scope->End(absl::CancelledError("cancelled")));
    if (cancelled) return End(absl::CancelledError("cancelled"));
    const ScopedLogContext log_scope(scope->log_context());
    if (!scope->verdict().ok()) return End(scope->verdict());
    RequestCheck check;
    check.ContainerId("open.container_id", open_.container_id());
    check.OptionalExecId("open.exec_id", open_.exec_id());
    const absl::Status status = check.Finish();
    if (!status.ok()) return End(status);
    api_.containers.Attach(open_, CallerOf(api_, *context_),
                           [self = shared_from_this()](absl::StatusOr<Attachment> attached) {
                             self->OnAttached(std::move(attached));
                           });
  }

  // Operations are started under the lock: gRPC takes none after Finish, which may come at any
  // time.
  void NextRead() {
    const MutexLock lock(mutex_);
    if (!ended_) StartRead(&request_);
  }

  void TakeInput() {
    bool read_on = false;
    {
      const MutexLock lock(to_process_mutex_);
      if (request_.has_stdin() && input_.empty()) {
        input_.swap(*request_.mutable_stdin());
        input_done_ = 0;
      } else {
        input_.append(request_.stdin());
      }
      close_input_ = close_input_ || request_.close_stdin();
      read_on = open_.confirm();
      paused_ = !read_on;
    }
    SendToProcess();
    if (read_on) NextRead();
  }

  void TakeReceived() {
    {
      const MutexLock lock(to_process_mutex_);
      if (stream_.has_value()) {
        received_ = request_.received();
        received_due_ = true;
      }
    }
    SendToProcess();
    NextRead();
  }

  // Gives the process what is there for it, as far as there is room; goes on when there is more.
  void SendToProcess() {
    bool socket_full = false;
    bool overrun = false;
    bool read_on = false;
    {
      const MutexLock lock(to_process_mutex_);
      if (received_due_) {
        received_due_ = !stream_->SendReceived(received_.stdout_offset(), received_.stderr_offset());
        socket_full = received_due_;
      }
      if (!socket_full) socket_full = !SendInput();
      overrun = open_.confirm() && input_.size() - input_done_ > kMaxInputAhead;
      read_on = paused_ && input_.empty() && !close_input_;
      if (read_on) paused_ = false;
    }
    if (overrun) return End(InvalidMessage("stdin", "runs ahead of what was taken"));
    if (socket_full) WaitFor(&writable_wanted_);
    if (read_on) NextRead();
  }

  // False where the socket is full.
  bool SendInput() ABSL_EXCLUSIVE_LOCKS_REQUIRED(to_process_mutex_) {
    while (!input_.empty()) {
      const std::string_view rest = std::string_view(input_).substr(input_done_);
      const absl::StatusOr<size_t> taken = stream_->WriteStdin(rest);
      // The process, or its input, is gone: the frames say how, and they end the call.
      if (!taken.ok()) {
        input_.clear();
        close_input_ = false;
        return true;
      }
      input_done_ += *taken;
      if (input_done_ < input_.size()) return !stream_->HasRoomForStdin();
      input_.clear();
      input_done_ = 0;
    }
    if (!close_input_) return true;
    const absl::StatusOr<bool> closed = stream_->CloseStdin();
    close_input_ = closed.ok() && !*closed;
    return !close_input_;
  }

  void Resize() {
    RequestCheck check;
    check.ConsoleSize("resize", request_.resize());
    const absl::Status status = check.Finish();
    if (!status.ok()) return End(status);
    v1::ResizeExecRequest resize;
    resize.set_container_id(open_.container_id());
    resize.set_exec_id(open_.exec_id());
    *resize.mutable_size() = request_.resize();
    // A process that has just ended has no terminal to resize; its exit is on the way.
    api_.containers.ResizeExec(
        resize, [self = shared_from_this()](const absl::StatusOr<v1::ResizeExecResponse>&) {
          self->NextRead();
        });
  }

  void Signal() {
    RequestCheck check;
    if (request_.signal().empty()) check.Fail("signal", "is empty");
    check.Signal("signal", request_.signal());
    const absl::Status status = check.Finish();
    if (!status.ok()) return End(status);
    const Caller caller = CallerOf(api_, *context_);
    if (open_.exec_id().empty()) {
      v1::KillContainerRequest kill;
      kill.set_container_id(open_.container_id());
      kill.set_signal(request_.signal());
      api_.containers.Kill(
          kill, caller,
          [self = shared_from_this()](const absl::StatusOr<v1::KillContainerResponse>&) {
            self->NextRead();
          });
    } else {
      v1::KillExecRequest kill;
      kill.set_container_id(open_.container_id());
      kill.set_exec_id(open_.exec_id());
      kill.set_signal(request_.signal());
      api_.containers.KillExec(
          kill, caller, [self = shared_from_this()](const absl::StatusOr<v1::KillExecResponse>&) {
            self->NextRead();
          });
    }
  }

  // ---- process -> client

  void OnAttached(absl::StatusOr<Attachment> attached) {
    if (!attached.ok()) return End(attached.status());
    if (ended()) return;
    if (open_.exec_id().empty()) AwaitExit();
    stream_.emplace(std::move(attached->stream));
    const std::weak_ptr<AttachCall> weak = weak_from_this();
    const FdPoller::Id id = api_.poller.Add(stream_->fd(), [weak](bool readable, bool writable) {
      if (const auto alive = weak.lock()) alive->OnPolled(readable, writable);
    });
    {
      const MutexLock lock(mutex_);
      poll_id_ = id;
    }
    v1::AttachResponse::Opened& opened = *response_.mutable_opened();
    opened.set_stdout_offset(open_.stdout_offset());
    opened.set_stderr_offset(open_.stderr_offset());
    opened.set_terminal(attached->terminal);
    // The supervisor has sent it before it answered.
    first_ = stream_->Read();
    if (first_->ok() && (*first_)->kind == AttachFrame::Kind::kOpened) {
      const AttachOpened& from = (*first_)->opened;
      opened.set_stdout_offset(from.output_offsets[0]);
      opened.set_stderr_offset(from.output_offsets[1]);
      opened.set_stdin_offset(from.stdin_accepted);
      {
        const MutexLock lock(to_process_mutex_);
        stream_->StdinOpened(from.stdin_accepted, from.stdin_taken);
        if (open_.confirm()) {
          response_.set_stdin_taken(from.stdin_taken);
          received_due_ = true;
          received_.set_stdout_offset(from.output_offsets[0]);
          received_.set_stderr_offset(from.output_offsets[1]);
        }
      }
      first_.reset();
    }
    SendToProcess();
    Write();
    NextRead();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return End(absl::CancelledError("the client has gone"));
    TakeFrame();
  }

  // As much as is there and fits, as one message.
  void TakeFrame() {
    if (ended()) return;
    response_.Clear();
    v1::AttachResponse::Output* output = nullptr;
    for (;;) {
      absl::StatusOr<AttachFrame> frame =
          first_.has_value() ? *std::move(first_) : stream_->Read();
      first_.reset();
      if (!frame.ok()) return End(frame.status());
      switch (frame->kind) {
        case AttachFrame::Kind::kNothing:
          return output != nullptr || response_.has_stdin_taken() ? Write()
                                                                  : WaitFor(&readable_wanted_);
        case AttachFrame::Kind::kStdinTaken:
          StdinTaken(frame->offset);
          continue;
        case AttachFrame::Kind::kStdout:
        case AttachFrame::Kind::kStderr:
          if (!Fits(*frame, output)) {
            first_ = std::move(frame);
            return Write();
          }
          if (output == nullptr) {
            output = frame->kind == AttachFrame::Kind::kStdout ? response_.mutable_stdout()
                                                               : response_.mutable_stderr();
            output->set_offset(frame->offset);
            output->set_data(std::move(frame->bytes));
          } else {
            output->mutable_data()->append(frame->bytes);
          }
          continue;
        default:
          break;
      }
      if (output != nullptr || response_.has_stdin_taken()) {
        first_ = std::move(frame);
        return Write();
      }
      return TakeLast(*frame);
    }
  }

  bool Fits(const AttachFrame& frame, const v1::AttachResponse::Output* output) const {
    if (output == nullptr) return true;
    const bool same = (frame.kind == AttachFrame::Kind::kStdout) == response_.has_stdout();
    return same && frame.offset == output->offset() + output->data().size() &&
           output->data().size() + frame.bytes.size() <= kMaxOutputBytes;
  }

  void StdinTaken(uint64_t offset) {
    {
      const MutexLock lock(to_process_mutex_);
      stream_->StdinTaken(offset);
    }
    if (open_.confirm()) response_.set_stdin_taken(offset);
    SendToProcess();
  }

  void TakeLast(const AttachFrame& frame) {
    switch (frame.kind) {
      case AttachFrame::Kind::kExit:
        return AskExit();
      case AttachFrame::Kind::kDetached:
        return End(MakeError(absl::StatusCode::kAborted, "ATTACHMENT_TAKEN",
                             "somebody else attached to the process, or it was deleted"));
      case AttachFrame::Kind::kClosed:
        return End(MakeError(absl::StatusCode::kInternal, "SUPERVISOR_LOST",
                             "the container's supervisor is gone"));
      default:
        return End(absl::DataLossError("attached stream: a frame out of place"));
    }
  }

  void Write() {
    const MutexLock lock(mutex_);
    if (!ended_) StartWrite(&response_);
  }

  // From the beginning, because a container with auto_delete is gone once it has stopped.
  void AwaitExit() {
    v1::WaitContainerRequest wait;
    wait.set_container_id(open_.container_id());
    api_.containers.Wait(
        wait, exit_wait_,
        [self = shared_from_this()](absl::StatusOr<v1::WaitContainerResponse> exited) {
          {
            const MutexLock lock(self->mutex_);
            if (!self->exit_wanted_) {
              self->exited_.emplace(std::move(exited));
              return;
            }
          }
          self->SendExit(exited.status(), exited.ok() ? exited->exit_status() : v1::ExitStatus());
        });
  }

  // The frame says that the process has ended; the manager knows how, with all that belongs to it.
  void AskExit() {
    if (open_.exec_id().empty()) {
      {
        const MutexLock lock(mutex_);
        exit_wanted_ = true;
        if (!exited_.has_value()) return;  // AwaitExit goes on
      }
      SendExit(exited_->status(), exited_->ok() ? (*exited_)->exit_status() : v1::ExitStatus());
    } else {
      v1::WaitExecRequest wait;
      wait.set_container_id(open_.container_id());
      wait.set_exec_id(open_.exec_id());
      api_.containers.WaitExec(
          wait, exit_wait_,
          [self = shared_from_this()](const absl::StatusOr<v1::WaitExecResponse>& ended) {
            self->SendExit(ended.status(), ended.ok() ? ended->exit_status() : v1::ExitStatus());
          });
    }
  }

  // `self` of the caller keeps us.
  void SendExit(const absl::Status& status, v1::ExitStatus exit) {
    if (!status.ok()) return End(status);
    *response_.mutable_exit() = std::move(exit);
    {
      const MutexLock lock(mutex_);
      if (ended_) return;
      ended_ = true;
      scope_->End(absl::OkStatus());
      StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
    }
    Detach();
  }

  // ---- both

  void WaitFor(bool* wanted) {
    const MutexLock lock(mutex_);
    *wanted = true;
    if (!ended_) api_.poller.Arm(poll_id_, readable_wanted_, writable_wanted_);
  }

  void OnPolled(bool readable, bool writable) {
    {
      const MutexLock lock(mutex_);
      if (ended_) return;
      readable = readable && readable_wanted_;
      writable = writable && writable_wanted_;
      if (readable) readable_wanted_ = false;
      if (writable) writable_wanted_ = false;
      if (readable_wanted_ || writable_wanted_) {
        api_.poller.Arm(poll_id_, readable_wanted_, writable_wanted_);
      }
    }
    if (readable) TakeFrame();
    if (writable) SendToProcess();
  }

  bool ended() const {
    const MutexLock lock(mutex_);
    return ended_;
  }

  // The gate, which may be the one that cancels, says why once it has admitted the call.
  void OnCancelled() {
    {
      const MutexLock lock(mutex_);
      cancelled_ = true;
      if (admitting_) return;
    }
    End(absl::CancelledError("cancelled"));
  }

  void End(const absl::Status& status) {
    std::shared_ptr<CallScope> scope;
    {
      const MutexLock lock(mutex_);
      scope = scope_;
    }
    const absl::Status why = WhyCancelled(api_, scope.get(), status);
    const grpc::Status last = FinalStatus(*context_, why);
    const auto self = shared_from_this();  // Finish leads to OnDone
    {
      const MutexLock lock(mutex_);
      if (ended_) return;
      ended_ = true;
      if (scope_ != nullptr) scope_->End(why);
      Finish(last);
    }
    Detach();
  }

  void Detach() {
    api_.drain.Unregister(drain_id_);
    FdPoller::Id id;
    {
      const MutexLock lock(mutex_);
      id = std::exchange(poll_id_, 0);
    }
    if (id != 0) api_.poller.Remove(id);
    exit_wait_->Cancel();
  }

  void OnCancel() override { cancellation_->Cancel(); }

  void OnDone() override {
    cancellation_->Clear();
    self_.reset();
  }

  const ApiContext& api_;
  grpc::CallbackServerContext* const context_;
  const std::shared_ptr<Cancellation> cancellation_ = std::make_shared<Cancellation>();
  const std::shared_ptr<Cancellation> exit_wait_ = std::make_shared<Cancellation>();
  const DrainSignal::Id drain_id_;
  std::shared_ptr<AttachCall> self_;  // gRPC's reference
  v1::AttachRequest::Open open_;
  std::optional<AttachStream> stream_;  // once attached; Read is of the chain process -> client

  // Of the chain client -> process.
  v1::AttachRequest request_;
  bool opened_ = false;

  // What goes to the process. Taken before mutex_, never after it.
  Mutex to_process_mutex_;
  std::string input_ ABSL_GUARDED_BY(to_process_mutex_);
  size_t input_done_ ABSL_GUARDED_BY(to_process_mutex_) = 0;  // of input_
  bool close_input_ ABSL_GUARDED_BY(to_process_mutex_) = false;
  bool paused_ ABSL_GUARDED_BY(to_process_mutex_) = false;  // no message is read until all is sent
  v1::AttachRequest::Received received_ ABSL_GUARDED_BY(to_process_mutex_);
  bool received_due_ ABSL_GUARDED_BY(to_process_mutex_) = false;

  // Of the chain process -> client.
  v1::AttachResponse response_;
  std::optional<absl::StatusOr<AttachFrame>> first_;  // read and not yet handled

  mutable Mutex mutex_;
  std::shared_ptr<CallScope> scope_ ABSL_GUARDED_BY(mutex_);  // null until `open` has come
  bool admitting_ ABSL_GUARDED_BY(mutex_) = false;  // on its way to scope_
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool exit_wanted_ ABSL_GUARDED_BY(mutex_) = false;
  // Written once, before exit_wanted_ is read as true without it.
  std::optional<absl::StatusOr<v1::WaitContainerResponse>> exited_;
  FdPoller::Id poll_id_ ABSL_GUARDED_BY(mutex_) = 0;
  bool readable_wanted_ ABSL_GUARDED_BY(mutex_) = false;
  bool writable_wanted_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

grpc::ServerBidiReactor<v1::AttachRequest, v1::AttachResponse>* ExecService::Attach(
    grpc::CallbackServerContext* context) {
  return AttachCall::Start(api_, context);
}

}  // namespace ocid
