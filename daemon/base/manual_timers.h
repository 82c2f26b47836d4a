// ManualTimers: Timers for tests, whose time moves only by Advance, which runs what falls due on its
// own thread, in order.
//
// Thread-safe.
#ifndef OCID_DAEMON_BASE_MANUAL_TIMERS_H_
#define OCID_DAEMON_BASE_MANUAL_TIMERS_H_

#include <algorithm>
#include <map>
#include <utility>

#include "absl/time/clock.h"
#include "daemon/base/timers.h"
#include "runtime/base/mutex.h"

namespace ocid {

class ManualTimers final : public Timers {
 public:
  explicit ManualTimers(absl::Time now = absl::FromUnixSeconds(1'700'000'000)) : now_(now) {}

  absl::Time Now() const override {
    MutexLock lock(mutex_);
    return now_;
  }

  TimerId After(absl::Duration delay, std::function<void()> function) override {
    MutexLock lock(mutex_);
    const TimerId id = ++last_id_;
    pending_.emplace(std::make_pair(now_ + delay, id), std::move(function));
    changed_.SignalAll();
    return id;
  }

  bool Cancel(TimerId id) override {
    MutexLock lock(mutex_);
    for (auto entry = pending_.begin(); entry != pending_.end(); ++entry) {
      if (entry->first.second != id) continue;
      pending_.erase(entry);
      return true;
    }
    return false;
  }

  void Advance(absl::Duration duration) {
    mutex_.Lock();
    const absl::Time until = now_ + duration;
    while (!pending_.empty() && pending_.begin()->first.first <= until) {
      const auto first = pending_.begin();
      now_ = std::max(now_, first->first.first);
      std::function<void()> function = std::move(first->second);
      pending_.erase(first);
      mutex_.Unlock();
      function();
      mutex_.Lock();
    }
    now_ = until;
    mutex_.Unlock();
  }

  // Blocks until so many timers are pending.
  void AwaitPending(size_t count) {
    mutex_.Lock();
    while (pending_.size() < count) changed_.Wait(mutex_);
    mutex_.Unlock();
  }

  size_t pending() const {
    MutexLock lock(mutex_);
    return pending_.size();
  }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
  TimerId last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::pair<absl::Time, TimerId>, std::function<void()>> pending_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_BASE_MANUAL_TIMERS_H_
