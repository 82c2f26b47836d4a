#include "daemon/base/fd_poller.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "absl/status/status.h"

namespace ocid {
namespace {

constexpr uint64_t kStopId = 0;
constexpr size_t kEventsAtOnce = 64;

}  // namespace

absl::StatusOr<std::unique_ptr<FdPoller>> FdPoller::Open() {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return absl::ErrnoToStatus(errno, "epoll_create1");
  UniqueFd stop_event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_event.valid()) return absl::ErrnoToStatus(errno, "eventfd");
  epoll_event event = {.events = EPOLLIN, .data = {.u64 = kStopId}};
  const int added = epoll_ctl(epoll.get(), EPOLL_CTL_ADD, stop_event.get(), &event);
  if (added != 0) return absl::ErrnoToStatus(errno, "epoll_ctl");
  return std::unique_ptr<FdPoller>(new FdPoller(std::move(epoll), std::move(stop_event)));
}

FdPoller::FdPoller(UniqueFd epoll, UniqueFd stop_event)
    : epoll_(std::move(epoll)), stop_event_(std::move(stop_event)), thread_([this] { Run(); }) {}

FdPoller::~FdPoller() {
  eventfd_write(stop_event_.get(), 1);
  thread_.join();
}

FdPoller::Id FdPoller::Add(BorrowedFd fd, Function function) {
  const MutexLock lock(mutex_);
  // epoll hears of it with the first Arm: even one that waits for nothing would report errors.
  const Id id = ++last_id_;
  entries_.emplace(id, Entry{fd.get(), std::make_shared<Function>(std::move(function))});
  return id;
}

void FdPoller::Arm(Id id, bool readable, bool writable) {
  const MutexLock lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  epoll_event event = {
      .events = EPOLLONESHOT | (readable ? EPOLLIN | EPOLLRDHUP : 0u) | (writable ? EPOLLOUT : 0u),
      .data = {.u64 = id}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, found->second.fd, &event) != 0 && errno == ENOENT) {
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, found->second.fd, &event);
  }
}

void FdPoller::Remove(Id id) {
  const MutexLock lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second.fd, nullptr);
  entries_.erase(found);
}

void FdPoller::Run() {
  pthread_setname_np(pthread_self(), "poller");
  std::array<epoll_event, kEventsAtOnce> events;
  while (true) {
    const int count = epoll_wait(epoll_.get(), events.data(), events.size(), -1);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      if (event.data.u64 == kStopId) return;
      std::shared_ptr<Function> function;
      {
        const MutexLock lock(mutex_);
        const auto found = entries_.find(event.data.u64);
        if (found != entries_.end()) function = found->second.function;
      }
      if (function == nullptr) continue;
      const bool broken = (event.events & (EPOLLERR | EPOLLHUP)) != 0;
      (*function)(broken || (event.events & (EPOLLIN | EPOLLRDHUP)) != 0,
                  broken || (event.events & EPOLLOUT) != 0);
    }
  }
}

}  // namespace ocid
