#include "runtime/host/reactor.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <utility>
#include <vector>

namespace ocid {

absl::StatusOr<std::shared_ptr<Reactor>> Reactor::Start() {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return absl::ErrnoToStatus(errno, "create an epoll descriptor");
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return absl::ErrnoToStatus(errno, "create an event descriptor");
  epoll_event event = {};
  event.events = EPOLLIN;
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0) {
    return absl::ErrnoToStatus(errno, "watch an event descriptor");
  }
  std::shared_ptr<Reactor> reactor(new Reactor(std::move(epoll), std::move(wake)));
  // Signals are for the program's own threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  reactor->thread_ = std::thread([self = reactor.get()] { self->Run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return reactor;
}

Reactor::Reactor(UniqueFd epoll, UniqueFd wake)
    : epoll_(std::move(epoll)), wake_(std::move(wake)) {}

Reactor::~Reactor() { Stop(); }

absl::Status Reactor::Add(const std::shared_ptr<Source>& source) {
  MutexLock lock(mutex_);
  if (stopped_) return absl::UnavailableError("the supervisors' host has been closed");
  const uint64_t token = ++last_token_;
  sources_[token] = source;
  tokens_[source.get()] = token;
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u64 = token;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, source->fd().get(), &event) != 0) {
    const int error = errno;
    sources_.erase(token);
    tokens_.erase(source.get());
    return absl::ErrnoToStatus(error, "watch a supervisor");
  }
  return absl::OkStatus();
}

void Reactor::Remove(const Source* source) {
  std::shared_ptr<Source> removed;  // released after the lock
  MutexLock lock(mutex_);
  const auto token = tokens_.find(source);
  if (token == tokens_.end()) return;
  const auto entry = sources_.find(token->second);
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, source->fd().get(), nullptr);
  removed = std::move(entry->second);
  sources_.erase(entry);
  tokens_.erase(token);
}

void Reactor::Run() {
  constexpr int kBatch = 64;
  epoll_event events[kBatch];
  while (true) {
    const int count = epoll_wait(epoll_.get(), events, kBatch, -1);
    for (int i = 0; i < count; ++i) {
      std::shared_ptr<Source> source;
      {
        MutexLock lock(mutex_);
        if (stopped_) return;
        const auto entry = sources_.find(events[i].data.u64);
        if (entry != sources_.end()) source = entry->second;
      }
      if (source != nullptr) source->OnReady();
    }
  }
}

void Reactor::Stop() {
  std::map<uint64_t, std::shared_ptr<Source>> sources;
  {
    MutexLock lock(mutex_);
    if (stopped_) return;
    stopped_ = true;
    sources.swap(sources_);
    tokens_.clear();
  }
  eventfd_write(wake_.get(), 1);
  thread_.join();
  for (const auto& [token, source] : sources) source->OnStopped();
}

}  // namespace ocid
