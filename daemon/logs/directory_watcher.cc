#include "daemon/logs/directory_watcher.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace ocid {
namespace {

// IN_DELETE_SELF comes only when nobody has anything in the directory open any more, such as a reader
// of its logs; IN_DELETE, of the files in it, comes at once.
constexpr uint32_t kMask = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF |
                           IN_MOVE_SELF | IN_ONLYDIR;

}  // namespace

absl::StatusOr<std::unique_ptr<DirectoryWatcher>> DirectoryWatcher::Open(FdPoller& poller) {
  auto state = std::make_shared<State>();
  state->inotify.reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!state->inotify.valid()) return absl::ErrnoToStatus(errno, "inotify_init1");
  return std::unique_ptr<DirectoryWatcher>(new DirectoryWatcher(poller, std::move(state)));
}

DirectoryWatcher::DirectoryWatcher(FdPoller& poller, std::shared_ptr<State> state)
    : poller_(poller), state_(std::move(state)) {
  const auto id = std::make_shared<FdPoller::Id>(0);
  poll_id_ = poller_.Add(state_->inotify, [shared = state_, &poller, id](bool, bool) {
    OnReadable(*shared);
    poller.Arm(*id, /*readable=*/true, /*writable=*/false);
  });
  *id = poll_id_;
  poller_.Arm(poll_id_, /*readable=*/true, /*writable=*/false);
}

DirectoryWatcher::~DirectoryWatcher() { poller_.Remove(poll_id_); }

absl::StatusOr<DirectoryWatcher::Id> DirectoryWatcher::Watch(const std::string& directory,
                                                             std::function<void()> function) {
  const MutexLock lock(state_->mutex);
  // The same directory has the same descriptor every time. Under the lock, so that an Unwatch of
  // the last watcher before us cannot take it away again.
  const int descriptor = inotify_add_watch(state_->inotify.get(), directory.c_str(), kMask);
  if (descriptor < 0) {
    if (errno == ENOSPC) {
      return absl::ResourceExhaustedError(
          absl::StrCat("watch ", directory, ": fs.inotify.max_user_watches is used up"));
    }
    return absl::ErrnoToStatus(errno, absl::StrCat("watch ", directory));
  }
  const Id id = ++state_->last_id;
  state_->watchers.emplace(
      id, Watcher{descriptor, std::make_shared<std::function<void()>>(std::move(function))});
  return id;
}

void DirectoryWatcher::Unwatch(Id id) {
  const MutexLock lock(state_->mutex);
  const auto found = state_->watchers.find(id);
  if (found == state_->watchers.end()) return;
  const int descriptor = found->second.descriptor;
  state_->watchers.erase(found);
  for (const auto& [other, watcher] : state_->watchers) {
    if (watcher.descriptor == descriptor) return;
  }
  inotify_rm_watch(state_->inotify.get(), descriptor);
}

void DirectoryWatcher::OnReadable(State& state) {
  alignas(inotify_event) char buffer[16 << 10];
  std::set<int> changed;
  bool all = false;
  ssize_t size;
  while ((size = read(state.inotify.get(), buffer, sizeof(buffer))) > 0) {
    for (const char* at = buffer; at < buffer + size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      changed.insert(event->wd);
      all = all || (event->mask & IN_Q_OVERFLOW) != 0;
      at += sizeof(inotify_event) + event->len;
    }
  }
  std::vector<std::shared_ptr<std::function<void()>>> functions;
  {
    const MutexLock lock(state.mutex);
    for (const auto& [id, watcher] : state.watchers) {
      if (all || changed.contains(watcher.descriptor)) functions.push_back(watcher.function);
    }
  }
  for (const auto& function : functions) (*function)();
}

}  // namespace ocid
