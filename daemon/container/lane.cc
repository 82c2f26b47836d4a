#include "daemon/container/lane.h"

namespace ocid {

bool Lane::Push(Operation operation) {
  {
    MutexLock lock(mutex_);
    if (busy_) {
      if (waiting_.size() >= capacity_) return false;
      waiting_.push_back(std::move(operation));
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
      waiting_.push_back(std::move(operation));
      return;
    }
    busy_ = true;
  }
  Run(std::move(operation));
}

void Lane::Run(Operation operation) {
  pool_.Post([turn = Turn(shared_from_this()), operation = std::move(operation)]() mutable {
    operation(std::move(turn));
  });
}

void Lane::RunNext() {
  Operation next;
  {
    MutexLock lock(mutex_);
    if (waiting_.empty()) {
      busy_ = false;
      return;
    }
    next = std::move(waiting_.front());
    waiting_.pop_front();
  }
  Run(std::move(next));
}

}  // namespace ocid
