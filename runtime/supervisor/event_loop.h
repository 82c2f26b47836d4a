// EventLoop: epoll(7) for one thread.
//
// A Watcher lives inside its owner, which must Stop it before it or its descriptor goes away; it
// may do so at any time, from any watcher's callback. A stopped watcher hears of nothing, not even
// of a hang-up, which epoll reports for descriptors with an empty interest too.
//
// Level-triggered. Nothing allocates. Thread-hostile.
#ifndef OCID_RUNTIME_SUPERVISOR_EVENT_LOOP_H_
#define OCID_RUNTIME_SUPERVISOR_EVENT_LOOP_H_

#include <stdint.h>
#include <sys/epoll.h>

#include "runtime/base/unique_fd.h"

namespace ocid {

struct Watcher {
  void (*ready)(void* owner, uint32_t events) = nullptr;
  void* owner = nullptr;
  int fd = -1;
  uint32_t interest = 0;  // EPOLL*; 0 while stopped
};

class EventLoop {
 public:
  // Returns 0 or an errno.
  int Open();

  // Begins to watch `fd`, or changes what is watched for. Returns 0 or an errno.
  int Watch(Watcher* watcher, BorrowedFd fd, uint32_t interest);
  void Stop(Watcher* watcher);

  // Waits for events, at most `timeout_ms` (-1: for ever), and calls their watchers.
  void RunOnce(int timeout_ms);

 private:
  static constexpr int kBatch = 16;

  UniqueFd epoll_;
  epoll_event batch_[kBatch] = {};
  int batch_size_ = 0;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_SUPERVISOR_EVENT_LOOP_H_
