// Reactor: one thread that waits for many descriptors (epoll(7)) and calls whoever watches them.
//
// Thread-safe. A source is called on the reactor's thread only, never under a lock, and may be in a
// call while another thread removes it; the reactor's reference keeps it alive for that long.
// Sources must not block.
#ifndef OCID_RUNTIME_HOST_REACTOR_H_
#define OCID_RUNTIME_HOST_REACTOR_H_

#include <cstdint>
#include <map>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class Reactor {
 public:
  class Source {
   public:
    virtual ~Source() = default;
    virtual BorrowedFd fd() const = 0;
    // The descriptor is readable or hung up. Level-triggered.
    virtual void OnReady() = 0;
    // The reactor has stopped: nothing will be heard of again. On the thread that stops it.
    virtual void OnStopped() = 0;
  };

  static absl::StatusOr<std::shared_ptr<Reactor>> Start();
  ~Reactor();

  // UNAVAILABLE after Stop.
  absl::Status Add(const std::shared_ptr<Source>& source);
  void Remove(const Source* source);

  // Ends the thread; not from a source. Later calls do nothing.
  void Stop();

 private:
  Reactor(UniqueFd epoll, UniqueFd wake);
  void Run();

  const UniqueFd epoll_;
  const UniqueFd wake_;
  std::thread thread_;
  Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t last_token_ ABSL_GUARDED_BY(mutex_) = 0;  // 0 is wake_'s
  std::map<uint64_t, std::shared_ptr<Source>> sources_ ABSL_GUARDED_BY(mutex_);
  std::map<const Source*, uint64_t> tokens_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_RUNTIME_HOST_REACTOR_H_
