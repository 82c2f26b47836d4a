// ThreadPool: threads that run functions, shared by everything that may block for a moment.
//
// Threads are started when there is work and nobody idle, up to the limit, and then kept: a quiet
// daemon has few, and no operation of a busy one waits for a thread to be made. Work that finds all
// threads busy waits, first come, first served. Nothing may wait on this pool for other work of the
// same pool.
//
// Thread-safe. Post does not block.
#ifndef OCID_DAEMON_BASE_THREAD_POOL_H_
#define OCID_DAEMON_BASE_THREAD_POOL_H_

#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "daemon/base/log_context.h"
#include "runtime/base/mutex.h"

namespace ocid {

class ThreadPool {
 public:
  // `name`: of the threads, for ps(1); at most 15 bytes. At least one thread.
  ThreadPool(std::string name, int max_threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  // The work runs with the LogContext of this call.
  void Post(absl::AnyInvocable<void()> work);

  // Work that waits for a thread.
  size_t queued() const;

  // Runs what was posted, also by that work itself, and ends the threads. What is posted afterwards is
  // dropped: who uses the pool may outlive its work. Once; the destructor does it otherwise.
  void Shutdown();

  // Threads started so far.
  int threads() const;

 private:
  struct Work {
    absl::AnyInvocable<void()> run;
    std::shared_ptr<const LogContext> context;
  };

  void Run();

  const std::string name_;
  const size_t max_threads_;
  mutable Mutex mutex_;
  CondVar work_ready_;
  std::deque<Work> queue_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mutex_);
  size_t idle_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace ocid

#endif  // OCID_DAEMON_BASE_THREAD_POOL_H_
