// OomWatcher: tells when processes of a container were killed for lack of memory, while it runs.
//
// One inotify instance watches memory.events of every container's cgroup2 directory, because a user has
// few instances (fs.inotify.max_user_instances); a v1 memory cgroup has an eventfd each. The kernel's
// count is read at once: systemd removes the cgroup of a scope as soon as its last process has ended, and
// the count with it. Functions get it on the watcher's or the timers' thread and under no lock, perhaps
// the same one again and perhaps once more after Unwatch: they hand over to a thread of their own.
//
// Thread-safe; nothing blocks but the destructor. Sources: cgroup-v2.rst "memory.events";
// cgroup-v1/memory.rst "OOM Control"; inotify(7).
#ifndef OCID_DAEMON_CONTAINER_OOM_WATCHER_H_
#define OCID_DAEMON_CONTAINER_OOM_WATCHER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "daemon/base/fd_poller.h"
#include "daemon/base/timers.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"
#include "runtime/cgroup/cgroup.h"

namespace ocid {

class OomWatcher {
 public:
  using Id = uint64_t;  // 0: nothing is watched

  // `timers` must outlive it.
  static absl::StatusOr<std::unique_ptr<OomWatcher>> Open(Timers& timers);
  OomWatcher(const OomWatcher&) = delete;
  OomWatcher& operator=(const OomWatcher&) = delete;
  ~OomWatcher();

  using Function = std::function<void(uint64_t kills)>;

  // 0 where no directory of `paths` is a memory cgroup.
  absl::StatusOr<Id> Watch(const std::vector<CgroupPath>& paths, Function function);
  void Unwatch(Id id);

 private:
  // What counts and who is told.
  struct Counter {
    UniqueFd file;  // memory.events or memory.oom_control
    Function function;

    void Tell() const;
  };
  struct Watched {
    int descriptor = -1;  // of inotify
    std::shared_ptr<const Counter> counter;
    UniqueFd eventfd;  // v1
    FdPoller::Id poll_id = 0;
  };

  OomWatcher(Timers& timers, std::unique_ptr<FdPoller> poller, UniqueFd inotify);
  void OnInotify();
  void OnEventfd(Id id);
  absl::StatusOr<Id> WatchV2(const CgroupPath& path, BorrowedFd directory, Function function);
  absl::StatusOr<Id> WatchV1(BorrowedFd directory, Function function);

  Timers& timers_;
  const UniqueFd inotify_;
  FdPoller::Id inotify_poll_id_ = 0;
  Mutex mutex_;
  Id last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<Id, Watched> watched_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<FdPoller> poller_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_OOM_WATCHER_H_
