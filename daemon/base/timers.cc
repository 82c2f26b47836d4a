#include "daemon/base/timers.h"

#include <pthread.h>

#include <chrono>
#include <map>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "runtime/base/mutex.h"

namespace ocid {
namespace {

using MonotonicTime = std::chrono::steady_clock::time_point;

class ThreadTimers final : public Timers {
 public:
  ThreadTimers() : thread_([this] { Run(); }) {}

  ~ThreadTimers() override {
    {
      MutexLock lock(mutex_);
      stopping_ = true;
    }
    changed_.Signal();
    thread_.join();
  }

  absl::Time Now() const override { return absl::Now(); }

  TimerId After(absl::Duration delay, std::function<void()> function) override {
    const MonotonicTime due =
        std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(delay);
    MutexLock lock(mutex_);
    const TimerId id = ++last_id_;
    const bool is_first = pending_.empty() || due < pending_.begin()->first.first;
    pending_.emplace(std::make_pair(due, id), std::move(function));
    due_by_id_.emplace(id, due);
    if (is_first) changed_.Signal();
    return id;
  }

  bool Cancel(TimerId id) override {
    std::function<void()> function;  // dies outside the lock
    MutexLock lock(mutex_);
    const auto found = due_by_id_.find(id);
    if (found == due_by_id_.end()) return false;
    const auto entry = pending_.find({found->second, id});
    function = std::move(entry->second);
    pending_.erase(entry);
    due_by_id_.erase(found);
    return true;
  }

 private:
  void Run() {
    pthread_setname_np(pthread_self(), "timers");
    mutex_.Lock();
    while (!stopping_) {
      if (pending_.empty()) {
        changed_.Wait(mutex_);
        continue;
      }
      const auto first = pending_.begin();
      const auto left = first->first.first - std::chrono::steady_clock::now();
      if (left > left.zero()) {
        changed_.WaitFor(mutex_, absl::FromChrono(left));
        continue;
      }
      std::function<void()> function = std::move(first->second);
      due_by_id_.erase(first->first.second);
      pending_.erase(first);
      mutex_.Unlock();
      function();
      function = nullptr;
      mutex_.Lock();
    }
    mutex_.Unlock();
  }

  Mutex mutex_;
  CondVar changed_;
  std::map<std::pair<MonotonicTime, TimerId>, std::function<void()>> pending_
      ABSL_GUARDED_BY(mutex_);
  std::map<TimerId, MonotonicTime> due_by_id_ ABSL_GUARDED_BY(mutex_);
  TimerId last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses what stands above
};

}  // namespace

std::unique_ptr<Timers> MakeTimers() { return std::make_unique<ThreadTimers>(); }

}  // namespace ocid
