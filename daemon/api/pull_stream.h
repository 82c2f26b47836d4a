// PullStream: a server-streaming call whose messages are pulled from a source at the client's pace.
//
//              Wake                 messages              written
//     kIdle ---------> kPulling ----------------> kWriting -------> kPulling ...
//       ^                 | none yet                  |
//       +-----------------+                           | end, error, client gone, daemon ending
//                         +-----------> kFinished <---+
//
// A source fills batches on a thread of the pool, one at a time, and only when the batch before has
// been written: flow control reaches the source. While it has nothing it is not asked; it calls
// Wake when that may have changed.
//
// Ownership: gRPC's, from Start to OnDone; the source's callbacks hold weak references.
// Thread-safe.
#ifndef OCID_DAEMON_API_PULL_STREAM_H_
#define OCID_DAEMON_API_PULL_STREAM_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "daemon/api/api_context.h"
#include "runtime/base/mutex.h"

namespace ocid {

enum class Pulled {
  kMore,   // ask again when this batch is written
  kLater,  // ask again after Wake
  kEnd,    // this batch is the last
};

// Where a PullStream's messages come from. Pull runs on one thread at a time.
template <class Message>
class PullSource {
 public:
  virtual ~PullSource() = default;

  // Called once, before all else. `wake` may be called from any thread, at any time, also when the
  // stream is gone.
  virtual void Open(std::function<void()> wake) = 0;

  // Appends messages to `batch`. With kLater, a change after this call has looked must lead to a
  // wake.
  virtual absl::StatusOr<Pulled> Pull(std::vector<Message>& batch) = 0;
};

template <class Message>
class PullStream final : public grpc::ServerWriteReactor<Message>,
                         public std::enable_shared_from_this<PullStream<Message>> {
 public:
  // Passes the gate. Ends at once where the caller may not do this, or with `refused` where that is an
  // error; `source` may be null then, and is opened by nobody who may not.
  static grpc::ServerWriteReactor<Message>* Start(const ApiContext& api,
                                                  grpc::CallbackServerContext* context,
                                                  const google::protobuf::Message& request,
                                                  const absl::Status& refused,
                                                  std::unique_ptr<PullSource<Message>> source) {
    auto stream =
        std::shared_ptr<PullStream>(new PullStream(api, context, request, std::move(source)));
    stream->self_ = stream;
    const ScopedLogContext log_scope(stream->scope_->log_context());
    if (!stream->scope_->verdict().ok()) {
      stream->Stop(stream->scope_->verdict());
    } else if (!refused.ok()) {
      stream->Stop(refused);
    } else {
      const std::weak_ptr<PullStream> weak = stream;
      stream->cancellation_->OnCancel([weak] {
        if (const auto alive = weak.lock()) alive->Stop(absl::CancelledError("cancelled"));
      });
      stream->source_->Open([weak] {
        if (const auto alive = weak.lock()) alive->Wake();
      });
      stream->Wake();
    }
    return stream.get();
  }

 private:
  enum class State { kIdle, kPulling, kWriting, kFinished };

  PullStream(const ApiContext& api, grpc::CallbackServerContext* context,
             const google::protobuf::Message& request, std::unique_ptr<PullSource<Message>> source)
      : api_(api),
        context_(context),
        scope_(api.gate.Admit(*context, request, cancellation_)),
        source_(std::move(source)),
        drain_id_(api.drain.Register(cancellation_)) {}

  void Wake() {
    {
      const MutexLock lock(mutex_);
      woken_ = true;
      if (state_ != State::kIdle) return;
      state_ = State::kPulling;
    }
    PostPull();
  }

  void PostPull() {
    api_.readers.Post([stream = this->shared_from_this()] { stream->PullOnce(); });
  }

  void PullOnce() {
    {
      const MutexLock lock(mutex_);
      woken_ = false;
    }
    batch_.clear();
    next_ = 0;
    absl::StatusOr<Pulled> pulled = source_->Pull(batch_);
    {
      const MutexLock lock(mutex_);
      if (stop_.ok() && !pulled.ok()) stop_ = pulled.status();
      ended_ = pulled.ok() && *pulled == Pulled::kEnd;
      more_ = pulled.ok() && *pulled == Pulled::kMore;
    }
    Advance();
  }

  // After a pull or a write: what comes next. No other step of the stream runs meanwhile.
  void Advance() {
    bool pull = false;
    {
      const MutexLock lock(mutex_);
      if (!stop_.ok() || (ended_ && next_ == batch_.size())) {
        state_ = State::kFinished;
      } else if (next_ < batch_.size()) {
        state_ = State::kWriting;
      } else if (more_ || woken_) {
        state_ = State::kPulling;
        pull = true;
      } else {
        state_ = State::kIdle;
        return;
      }
    }
    if (pull) {
      PostPull();
    } else if (const Message* message = NextMessage(); message != nullptr) {
      // Within a batch gRPC may put several messages into one write. Not so with the first of all,
      // which carries the headers: that write would not end before the next one begins.
      grpc::WriteOptions options;
      if (started_ && next_ < batch_.size()) options.set_buffer_hint();
      started_ = true;
      this->StartWrite(message, options);
    } else {
      End();
    }
  }

  const Message* NextMessage() {
    const MutexLock lock(mutex_);
    return state_ == State::kWriting ? &batch_[next_++] : nullptr;
  }

  void OnWriteDone(bool ok) override {
    if (!ok) {
      const MutexLock lock(mutex_);
      if (stop_.ok()) stop_ = absl::CancelledError("the client has gone");
    }
    Advance();
  }

  // Ends the stream, after the step that is under way.
  void Stop(const absl::Status& status) {
    {
      const MutexLock lock(mutex_);
      if (stop_.ok()) stop_ = status;
      if (state_ != State::kIdle) return;
      state_ = State::kFinished;
    }
    End();
  }

  void End() {
    absl::Status status;
    {
      const MutexLock lock(mutex_);
      status = stop_;
    }
    api_.drain.Unregister(drain_id_);
    status = WhyCancelled(api_, scope_.get(), status);
    scope_->End(status);
    this->Finish(FinalStatus(*context_, status));
  }

  void OnCancel() override { cancellation_->Cancel(); }

  void OnDone() override {
    cancellation_->Clear();
    self_.reset();
  }

  const ApiContext& api_;
  grpc::CallbackServerContext* const context_;
  const std::shared_ptr<Cancellation> cancellation_ = std::make_shared<Cancellation>();
  const std::shared_ptr<CallScope> scope_;
  const std::unique_ptr<PullSource<Message>> source_;
  const DrainSignal::Id drain_id_;
  std::shared_ptr<PullStream> self_;  // gRPC's reference

  // Of the step that runs.
  std::vector<Message> batch_;
  size_t next_ = 0;
  bool started_ = false;

  Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kIdle;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool more_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status stop_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_API_PULL_STREAM_H_
