// GuestQueue: work on something whose owner is busy but waits for somebody outside.
//
// The owner lends its thing while it waits. Guests run meanwhile, one at a time, on their own threads; at
// other times they wait in the queue until the owner lends again or lets them in. So a plugin that is asked
// about a container can change that container before it answers, without a lock that both would want.
//
//   guests.Lend();            owner: whoever waits runs now, and whoever comes
//   ... wait for the plugin ...
//   guests.TakeBack();        owner: alone again
//
//   if (guests.Add(work) == GuestQueue::Added::kWaits) ask the owner to call RunWaiting();
//
// Thread-safe. Lend, TakeBack and RunWaiting are for the owner; they block as long as guests work.
#ifndef OCID_DAEMON_CONTAINER_GUEST_QUEUE_H_
#define OCID_DAEMON_CONTAINER_GUEST_QUEUE_H_

#include <deque>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "runtime/base/mutex.h"

namespace ocid {

class GuestQueue {
 public:
  using Guest = absl::AnyInvocable<void()>;
  enum class Added { kRan, kWaits, kFull };

  explicit GuestQueue(size_t capacity) : capacity_(capacity) {}

  // kRan: it has run, or runs on a thread that is at it. kFull: it is destroyed.
  Added Add(Guest guest);

  void Lend();
  void TakeBack();
  void RunWaiting();

 private:
  void RunAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const size_t capacity_;
  Mutex mutex_;
  CondVar idle_;
  bool lent_ ABSL_GUARDED_BY(mutex_) = false;
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<Guest> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_GUEST_QUEUE_H_
