#include "daemon/container/oom_watcher.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/cgroup/cgroup_files.h"
#include "runtime/cgroup/cgroup_stats.h"

namespace ocid {
namespace {

// v1 tells that memory is short before it kills, and nothing tells that it has.
constexpr absl::Duration kAfterV1Event[] = {
    absl::ZeroDuration(),    absl::Milliseconds(1),  absl::Milliseconds(2),   absl::Milliseconds(4),
    absl::Milliseconds(8),   absl::Milliseconds(16), absl::Milliseconds(32),  absl::Milliseconds(64),
    absl::Milliseconds(128), absl::Milliseconds(256), absl::Milliseconds(512)};

// v2 tells at most every 10 ms (CGROUP_FILE_NOTIFY_MIN_INTV), first that the limit was reached: what
// happens right after that would be told when the container, its cgroup and the count may be gone.
constexpr absl::Duration kAfterV2Event[] = {absl::Milliseconds(1), absl::Milliseconds(2),
                                            absl::Milliseconds(4), absl::Milliseconds(7)};

bool IsV1Memory(const CgroupPath& path) {
  const std::vector<std::string> names = absl::StrSplit(path.controllers, ',');
  return std::find(names.begin(), names.end(), "memory") != names.end();
}

}  // namespace

absl::StatusOr<std::unique_ptr<OomWatcher>> OomWatcher::Open(Timers& timers) {
  UniqueFd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify.valid()) return absl::ErrnoToStatus(errno, "inotify_init1");
  absl::StatusOr<std::unique_ptr<FdPoller>> poller = FdPoller::Open();
  if (!poller.ok()) return poller.status();
  return std::unique_ptr<OomWatcher>(
      new OomWatcher(timers, *std::move(poller), std::move(inotify)));
}

OomWatcher::OomWatcher(Timers& timers, std::unique_ptr<FdPoller> poller, UniqueFd inotify)
    : timers_(timers), inotify_(std::move(inotify)), poller_(std::move(poller)) {
  inotify_poll_id_ = poller_->Add(inotify_, [this](bool, bool) { OnInotify(); });
  poller_->Arm(inotify_poll_id_, /*readable=*/true, /*writable=*/false);
}

// The poller's thread goes first; everything else can then.
OomWatcher::~OomWatcher() { poller_.reset(); }

void OomWatcher::Counter::Tell() const {
  const absl::StatusOr<std::string> text = ReadOpenCgroupFile(file, "oom_kill");
  if (!text.ok()) return;  // the cgroup is gone
  const auto values = ParseFlatKeyed(*text);
  const auto kills = values.find("oom_kill");
  if (kills != values.end() && kills->second > 0) function(kills->second);
}

absl::StatusOr<OomWatcher::Id> OomWatcher::Watch(const std::vector<CgroupPath>& paths,
                                                 Function function) {
  for (const CgroupPath& path : paths) {
    const bool unified = path.controllers.empty();
    if (!unified && !IsV1Memory(path)) continue;
    const absl::StatusOr<UniqueFd> directory = OpenCgroupDirectory({}, path.directory);
    if (!directory.ok()) return directory.status();
    if (!unified) return WatchV1(*directory, std::move(function));
    const absl::StatusOr<Id> id = WatchV2(path, *directory, function);
    if (!absl::IsNotFound(id.status())) return id;  // else its memory is v1's, or nobody's
  }
  return 0;
}

absl::StatusOr<OomWatcher::Id> OomWatcher::WatchV2(const CgroupPath& path, BorrowedFd directory,
                                                   Function function) {
  absl::StatusOr<UniqueFd> events = OpenCgroupFile(directory, "memory.events", O_RDONLY);
  if (!events.ok()) return events.status();
  const std::string file = absl::StrCat(path.directory, "/memory.events");
  const MutexLock lock(mutex_);
  const int descriptor = inotify_add_watch(inotify_.get(), file.c_str(), IN_MODIFY);
  if (descriptor < 0) return absl::ErrnoToStatus(errno, absl::StrCat("watch ", file));
  const Id id = ++last_id_;
  watched_[id] = {.descriptor = descriptor,
                  .counter = std::make_shared<const Counter>(
                      Counter{*std::move(events), std::move(function)}),
                  .eventfd = {},
                  .poll_id = 0};
  return id;
}

absl::StatusOr<OomWatcher::Id> OomWatcher::WatchV1(BorrowedFd directory, Function function) {
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) return absl::ErrnoToStatus(errno, "eventfd");
  absl::StatusOr<UniqueFd> control = OpenCgroupFile(directory, "memory.oom_control", O_RDONLY);
  if (!control.ok()) return control.status();
  const absl::Status registered = WriteCgroupFile(directory, "cgroup.event_control",
                                                  absl::StrCat(event.get(), " ", control->get()));
  if (!registered.ok()) return registered;
  const MutexLock lock(mutex_);
  const Id id = ++last_id_;
  const FdPoller::Id poll_id = poller_->Add(event, [this, id](bool, bool) { OnEventfd(id); });
  watched_[id] = {.descriptor = -1,
                  .counter = std::make_shared<const Counter>(
                      Counter{*std::move(control), std::move(function)}),
                  .eventfd = std::move(event),
                  .poll_id = poll_id};
  poller_->Arm(poll_id, /*readable=*/true, /*writable=*/false);
  return id;
}

void OomWatcher::Unwatch(Id id) {
  const MutexLock lock(mutex_);
  const auto found = watched_.find(id);
  if (found == watched_.end()) return;
  if (found->second.poll_id != 0) poller_->Remove(found->second.poll_id);
  // Gone by itself where the cgroup is.
  if (found->second.descriptor >= 0) inotify_rm_watch(inotify_.get(), found->second.descriptor);
  watched_.erase(found);
}

void OomWatcher::OnInotify() {
  alignas(inotify_event) char buffer[16 << 10];
  std::set<int> changed;
  bool all = false;
  ssize_t size = 0;
  while ((size = read(inotify_.get(), buffer, sizeof(buffer))) > 0) {
    for (const char* at = buffer; at < buffer + size;) {
      const auto* const event = reinterpret_cast<const inotify_event*>(at);
      changed.insert(event->wd);
      all = all || (event->mask & IN_Q_OVERFLOW) != 0;
      at += sizeof(inotify_event) + event->len;
    }
  }
  std::vector<std::shared_ptr<const Counter>> counters;
  {
    const MutexLock lock(mutex_);
    for (const auto& [id, watched] : watched_) {
      if (watched.descriptor >= 0 && (all || changed.contains(watched.descriptor))) {
        counters.push_back(watched.counter);
      }
    }
  }
  for (const std::shared_ptr<const Counter>& counter : counters) counter->Tell();
  for (const absl::Duration delay : kAfterV2Event) {
    timers_.After(delay, [counters] {
      for (const std::shared_ptr<const Counter>& counter : counters) counter->Tell();
    });
  }
  poller_->Arm(inotify_poll_id_, /*readable=*/true, /*writable=*/false);
}

void OomWatcher::OnEventfd(Id id) {
  const MutexLock lock(mutex_);
  const auto found = watched_.find(id);
  if (found == watched_.end()) return;
  eventfd_t count = 0;
  const int drained = eventfd_read(found->second.eventfd.get(), &count);
  static_cast<void>(drained);  // nothing to read is nothing to do
  for (const absl::Duration delay : kAfterV1Event) {
    timers_.After(delay, [counter = found->second.counter] { counter->Tell(); });
  }
  poller_->Arm(found->second.poll_id, /*readable=*/true, /*writable=*/false);
}

}  // namespace ocid
