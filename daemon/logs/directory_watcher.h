// DirectoryWatcher: tells when something in a directory has changed: a file was written to,
// appeared, or was renamed into it, or the directory itself has gone.
//
// One inotify descriptor for all directories, read on the poller's thread. The functions run there,
// under no lock; they must be short. They may be called for nothing, and one may still be running
// when Unwatch returns on another thread.
//
// Thread-safe; nothing blocks. Source: inotify(7).
#ifndef OCID_DAEMON_LOGS_DIRECTORY_WATCHER_H_
#define OCID_DAEMON_LOGS_DIRECTORY_WATCHER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "daemon/base/fd_poller.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class DirectoryWatcher {
 public:
  using Id = uint64_t;  // never 0

  // `poller` must outlive the watcher and its functions.
  static absl::StatusOr<std::unique_ptr<DirectoryWatcher>> Open(FdPoller& poller);
  DirectoryWatcher(const DirectoryWatcher&) = delete;
  DirectoryWatcher& operator=(const DirectoryWatcher&) = delete;
  ~DirectoryWatcher();

  // RESOURCE_EXHAUSTED where fs.inotify.max_user_watches is used up.
  absl::StatusOr<Id> Watch(const std::string& directory, std::function<void()> function);

  // Unknown ids are ignored.
  void Unwatch(Id id);

 private:
  struct Watcher {
    int descriptor = -1;
    std::shared_ptr<std::function<void()>> function;
  };
  // Shared with the function that the poller holds.
  struct State {
    UniqueFd inotify;
    Mutex mutex;
    Id last_id ABSL_GUARDED_BY(mutex) = 0;
    std::map<Id, Watcher> watchers ABSL_GUARDED_BY(mutex);
  };

  DirectoryWatcher(FdPoller& poller, std::shared_ptr<State> state);
  static void OnReadable(State& state);

  FdPoller& poller_;
  const std::shared_ptr<State> state_;
  FdPoller::Id poll_id_ = 0;
};

}  // namespace ocid

#endif  // OCID_DAEMON_LOGS_DIRECTORY_WATCHER_H_
