// Lane: the operations of one container, one at a time, in order of arrival, over a shared pool.
//
//   lane->Push([](Lane::Turn turn) { ... });
//
// An operation runs on a thread of the pool and has the lane for as long as its Turn lives, which may
// be longer than the function: it can keep the turn, give the thread back, and end the turn when a
// timer or a peer calls. Ending it early lets others go on while this one is still at work on things
// of its own. The number of operations that wait is bounded; what must not be refused (a process's
// exit, a timer) comes through PushAlways.
//
// Owned by a shared_ptr, which turns share. Thread-safe; nothing blocks.
#ifndef OCID_DAEMON_CONTAINER_LANE_H_
#define OCID_DAEMON_CONTAINER_LANE_H_

#include <deque>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "daemon/base/thread_pool.h"
#include "runtime/base/mutex.h"

namespace ocid {

class Lane : public std::enable_shared_from_this<Lane> {
 public:
  // The right to run. Move-only; gone when destroyed or ended.
  class Turn {
   public:
    Turn() = default;
    Turn(Turn&&) noexcept = default;
    Turn& operator=(Turn&& other) noexcept {
      End();
      lane_ = std::move(other.lane_);
      return *this;
    }
    ~Turn() { End(); }

    void End() {
      if (const std::shared_ptr<Lane> lane = std::exchange(lane_, nullptr)) lane->RunNext();
    }

   private:
    friend class Lane;
    explicit Turn(std::shared_ptr<Lane> lane) : lane_(std::move(lane)) {}

    std::shared_ptr<Lane> lane_;
  };

  using Operation = absl::AnyInvocable<void(Turn)>;

  // `capacity`: operations that wait, the running one not counted.
  Lane(ThreadPool& pool, size_t capacity) : pool_(pool), capacity_(capacity) {}

  // False, and the operation is destroyed, where the lane is full.
  bool Push(Operation operation);
  void PushAlways(Operation operation);

  // Operations that wait, the running one not counted.
  size_t waiting() const;

 private:
  struct Waiting {
    Operation operation;
    std::shared_ptr<const LogContext> context;  // of whoever pushed it
  };

  void Run(Operation operation);
  void RunNext();

  ThreadPool& pool_;
  const size_t capacity_;
  mutable Mutex mutex_;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_LANE_H_
