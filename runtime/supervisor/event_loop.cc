#include "runtime/supervisor/event_loop.h"

#include <errno.h>

namespace ocid {

int EventLoop::Open() {
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  return epoll_.valid() ? 0 : errno;
}

int EventLoop::Watch(Watcher* watcher, BorrowedFd fd, uint32_t interest) {
  if (watcher->interest == interest && watcher->fd == fd.get()) return 0;
  epoll_event event = {};
  event.events = interest;
  event.data.ptr = watcher;
  const int operation = watcher->interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (epoll_ctl(epoll_.get(), operation, fd.get(), &event) != 0) return errno;
  watcher->fd = fd.get();
  watcher->interest = interest;
  return 0;
}

void EventLoop::Stop(Watcher* watcher) {
  if (watcher->interest == 0) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, watcher->fd, nullptr);
  watcher->interest = 0;
  for (int i = 0; i < batch_size_; ++i) {
    if (batch_[i].data.ptr == watcher) batch_[i].data.ptr = nullptr;
  }
}

void EventLoop::RunOnce(int timeout_ms) {
  const int count = epoll_wait(epoll_.get(), batch_, kBatch, timeout_ms);
  batch_size_ = count > 0 ? count : 0;
  for (int i = 0; i < batch_size_; ++i) {
    auto* watcher = static_cast<Watcher*>(batch_[i].data.ptr);
    if (watcher != nullptr) watcher->ready(watcher->owner, batch_[i].events);
  }
  batch_size_ = 0;
}

}  // namespace ocid
