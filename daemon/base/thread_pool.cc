#include "daemon/base/thread_pool.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

namespace ocid {

ThreadPool::ThreadPool(std::string name, int max_threads)
    : name_(std::move(name)), max_threads_(static_cast<size_t>(std::max(max_threads, 1))) {}

ThreadPool::~ThreadPool() { Shutdown(); }

void ThreadPool::Shutdown() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    // Work that is still queued may post more; the threads end when nothing is left.
    work_ready_.SignalAll();
    threads = std::move(threads_);
    threads_.clear();
  }
  for (std::thread& thread : threads) thread.join();
  std::deque<Work> late;  // dies outside the lock
  MutexLock lock(mutex_);
  closed_ = true;
  late.swap(queue_);
}

void ThreadPool::Post(absl::AnyInvocable<void()> work) {
  MutexLock lock(mutex_);
  if (closed_) return;
  queue_.push_back({std::move(work), CurrentLogContext()});
  // Every queued item beyond the idle threads deserves a thread of its own.
  if (queue_.size() > idle_ && threads_.size() < max_threads_ && !stopping_) {
    threads_.emplace_back([this] { Run(); });
  }
  work_ready_.Signal();
}

size_t ThreadPool::queued() const {
  MutexLock lock(mutex_);
  return queue_.size();
}

int ThreadPool::threads() const {
  MutexLock lock(mutex_);
  return static_cast<int>(threads_.size());
}

void ThreadPool::Run() {
  pthread_setname_np(pthread_self(), name_.c_str());
  mutex_.Lock();
  for (;;) {
    while (queue_.empty() && !stopping_) {
      ++idle_;
      work_ready_.Wait(mutex_);
      --idle_;
    }
    if (queue_.empty()) break;
    {
      Work work = std::move(queue_.front());
      queue_.pop_front();
      mutex_.Unlock();
      const ScopedLogContext scope(std::move(work.context));
      std::move(work.run)();
      // What the work owns dies here, outside the lock.
    }
    mutex_.Lock();
  }
  mutex_.Unlock();
}

}  // namespace ocid
