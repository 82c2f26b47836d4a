#include "daemon/container/guest_queue.h"

#include <utility>

namespace ocid {

GuestQueue::Added GuestQueue::Add(Guest guest) {
  MutexLock lock(mutex_);
  if (waiting_.size() >= capacity_) return Added::kFull;
  waiting_.push_back(std::move(guest));
  if (!lent_) return Added::kWaits;
  RunAll();
  return Added::kRan;
}

void GuestQueue::Lend() {
  MutexLock lock(mutex_);
  lent_ = true;
  RunAll();
}

void GuestQueue::TakeBack() {
  MutexLock lock(mutex_);
  lent_ = false;
  while (running_) idle_.Wait(mutex_);
}

void GuestQueue::RunWaiting() {
  MutexLock lock(mutex_);
  RunAll();
}

void GuestQueue::RunAll() {
  if (running_) return;  // whoever runs goes on with what has come
  running_ = true;
  while (!waiting_.empty()) {
    {
      Guest guest = std::move(waiting_.front());
      waiting_.pop_front();
      mutex_.Unlock();
      guest();
    }
    mutex_.Lock();
  }
  running_ = false;
  idle_.SignalAll();
}

}  // namespace ocid
