// FdPoller: one thread that waits for descriptors and calls back.
//
//   const FdPoller::Id id = poller->Add(socket, [...](bool readable, bool writable) { ... });
//   poller->Arm(id, /*readable=*/true, /*writable=*/false);       // one call of the function
//   poller->Remove(id);                                           // before the descriptor is closed
//
// An armed descriptor calls its function once, when one of what it waits for has come, or an error,
// which shows as both; then it is disarmed. Functions run on the poller's thread, one after the other
// and under no lock: they must be short, and may call the poller. One may still be running when Remove
// returns on another thread.
//
// Thread-safe; nothing blocks but the destructor. Source: epoll(7), EPOLLONESHOT.
#ifndef OCID_DAEMON_BASE_FD_POLLER_H_
#define OCID_DAEMON_BASE_FD_POLLER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class FdPoller {
 public:
  using Id = uint64_t;  // never 0
  using Function = std::function<void(bool readable, bool writable)>;

  static absl::StatusOr<std::unique_ptr<FdPoller>> Open();
  FdPoller(const FdPoller&) = delete;
  FdPoller& operator=(const FdPoller&) = delete;
  ~FdPoller();

  // Not armed yet.
  Id Add(BorrowedFd fd, Function function);

  // Replaces what the descriptor waits for.
  void Arm(Id id, bool readable, bool writable);

  // Unknown ids are ignored.
  void Remove(Id id);

 private:
  struct Entry {
    int fd = -1;
    std::shared_ptr<Function> function;
  };

  FdPoller(UniqueFd epoll, UniqueFd stop_event);
  void Run();

  const UniqueFd epoll_;
  const UniqueFd stop_event_;
  Mutex mutex_;
  Id last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unordered_map<Id, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_BASE_FD_POLLER_H_
