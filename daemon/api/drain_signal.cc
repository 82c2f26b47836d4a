#include "daemon/api/drain_signal.h"

#include <utility>

namespace ocid {

DrainSignal::Id DrainSignal::Register(std::shared_ptr<Cancellation> cancellation) {
  Id id;
  {
    const MutexLock lock(mutex_);
    id = ++last_id_;
    if (!begun_) {
      waiting_.emplace(id, std::move(cancellation));
      return id;
    }
  }
  cancellation->Cancel();
  return id;
}

void DrainSignal::Unregister(Id id) {
  const MutexLock lock(mutex_);
  waiting_.erase(id);
}

void DrainSignal::Begin() {
  std::unordered_map<Id, std::shared_ptr<Cancellation>> waiting;
  {
    const MutexLock lock(mutex_);
    begun_ = true;
    waiting.swap(waiting_);
  }
  for (const auto& [id, cancellation] : waiting) cancellation->Cancel();
}

bool DrainSignal::begun() const {
  const MutexLock lock(mutex_);
  return begun_;
}

}  // namespace ocid
