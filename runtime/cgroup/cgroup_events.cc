#include "runtime/cgroup/cgroup_events.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "runtime/cgroup/cgroup_files.h"
#include "runtime/cgroup/cgroup_stats.h"
#include "runtime/cgroup/text.h"

namespace ocid {
namespace {

absl::Status AddToEpoll(BorrowedFd epoll, BorrowedFd fd) {
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.fd = fd.get();
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0) {
    return CgroupError("watch", "cgroup events", errno);
  }
  return absl::OkStatus();
}

bool HasController(const CgroupPath& path, std::string_view controller) {
  const std::vector<std::string_view> names = SplitText(path.controllers, ',');
  return std::find(names.begin(), names.end(), controller) != names.end();
}

// An eventfd that counts when the memory cgroup is out of memory, and when it is removed.
absl::StatusOr<UniqueFd> WatchOomControl(BorrowedFd directory) {
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) return CgroupError("make", "an eventfd", errno);
  const absl::StatusOr<UniqueFd> control =
      OpenCgroupFile(directory, "memory.oom_control", O_RDONLY);
  if (!control.ok()) return control.status();
  const absl::Status registered = WriteCgroupFile(directory, "cgroup.event_control",
                                                  absl::StrCat(event.get(), " ", control->get()));
  if (!registered.ok()) return registered;
  return event;
}

void Drain(BorrowedFd fd) {
  char buffer[4096];
  ssize_t count = 0;
  do {
    count = ::read(fd.get(), buffer, sizeof(buffer));
  } while (count > 0 || (count < 0 && errno == EINTR));
}

// The count of kills in "memory.events" or "memory.oom_control"; 0 where there is none.
uint64_t OomKillsIn(BorrowedFd directory, const char* file) {
  const absl::StatusOr<std::string> text = ReadCgroupFile(directory, file);
  if (!text.ok()) return 0;
  const auto values = ParseFlatKeyed(*text);
  const auto found = values.find("oom_kill");
  return found == values.end() ? 0 : found->second;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CgroupEvents>> CgroupEvents::Open(
    const std::vector<CgroupPath>& paths) {
  std::unique_ptr<CgroupEvents> events(new CgroupEvents());
  events->epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  events->inotify_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!events->epoll_.valid() || !events->inotify_.valid()) {
    return CgroupError("watch", "cgroup events", errno);
  }
  for (const CgroupPath& path : paths) {
    const bool unified = path.controllers.empty();
    if (!unified && !HasController(path, "memory")) continue;
    absl::StatusOr<UniqueFd> directory = OpenCgroupDirectory({}, path.directory);
    if (!directory.ok()) return directory.status();
    if (!unified) {
      absl::StatusOr<UniqueFd> event = WatchOomControl(*directory);
      if (!event.ok()) return event.status();
      events->v1_memory_ = *std::move(directory);
      events->oom_eventfd_ = *std::move(event);
      const absl::Status added = AddToEpoll(events->epoll_, events->oom_eventfd_);
      if (!added.ok()) return added;
      continue;
    }
    const std::string core = path.directory + "/cgroup.events";
    if (::inotify_add_watch(events->inotify_.get(), core.c_str(), IN_MODIFY) < 0) {
      return CgroupError("watch", core, errno);
    }
    const std::string memory = path.directory + "/memory.events";
    if (::inotify_add_watch(events->inotify_.get(), memory.c_str(), IN_MODIFY) < 0 &&
        errno != ENOENT) {
      return CgroupError("watch", memory, errno);
    }
    events->unified_ = *std::move(directory);
  }
  if (!events->unified_.valid()) return CgroupError("watch", "cgroup.events", ENOENT);
  const absl::Status added = AddToEpoll(events->epoll_, events->inotify_);
  if (!added.ok()) return added;
  return events;
}

absl::StatusOr<CgroupEvents::State> CgroupEvents::Read() {
  // First take the signs, then look: a change in between makes a sign again.
  Drain(inotify_);
  if (oom_eventfd_.valid()) Drain(oom_eventfd_);
  State state;
  state.oom_kills = v1_memory_.valid() ? OomKillsIn(v1_memory_, "memory.oom_control")
                                       : OomKillsIn(unified_, "memory.events");
  const absl::StatusOr<CgroupEventValues> values = ReadCgroupEvents(unified_);
  if (absl::IsNotFound(values.status())) return state;
  if (!values.ok()) return values.status();
  const auto is_one = [&](const char* key) {
    const auto found = values->find(key);
    return found != values->end() && found->second == 1;
  };
  state.exists = true;
  state.populated = is_one("populated");
  state.frozen = is_one("frozen");
  return state;
}

}  // namespace ocid
