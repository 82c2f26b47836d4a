#include "daemon/container/lane.h"

namespace ocid {

bool Lane::Push(Operation operation) {
  {
    MutexLock lock(mutex_);
    if (busy_) {
      if (waiting_.size() >= capacity_) return false;
      waiting_.push_back({std::move(operation), CurrentLogContext()});
      return true;
    }
    busy_ = true;
  }
  Run(std::move(operation));
  return true;
}

void Lane::PushAlways(Operation operation) {
  {
    MutexLock lock(mutex_);
    if (busy_) {
      waiting_.push_back({std::move(operation), CurrentLogContext()});
      return;
    }
    busy_ = true;
  }
  Run(std::move(operation));
}

size_t Lane::waiting() const {
  MutexLock lock(mutex_);
  return waiting_.size();
}

void Lane::Run(Operation operation) {
  pool_.Post([turn = Turn(shared_from_this()), operation = std::move(operation)]() mutable {
    operation(std::move(turn));
  });
}

void Lane::RunNext() {
  Waiting next;
  {
    MutexLock lock(mutex_);
    if (waiting_.empty()) {
      busy_ = false;
      return;
    }
    next = std::move(waiting_.front());
    waiting_.pop_front();
  }
  const ScopedLogContext scope(std::move(next.context));
  Run(std::move(next.operation));
}

}  // namespace ocid
