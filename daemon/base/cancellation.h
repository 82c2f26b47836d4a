// Cancellation: tells an operation that nobody waits for its answer any more.
//
// Shared by who may cancel (an RPC's cancel handler) and who is to be told (a registered wait). Cancel
// may come before, during or after the registration; the function given to OnCancel runs at most
// once, and not at all once it was cleared.
//
//   auto cancellation = std::make_shared<Cancellation>();
//   manager.Wait(request, cancellation, done);       // done(CANCELLED) after ...
//   cancellation->Cancel();                          // ... this, from any thread
//
// Thread-safe. Cancel runs the registered function on its own thread, under no lock.
#ifndef OCID_DAEMON_BASE_CANCELLATION_H_
#define OCID_DAEMON_BASE_CANCELLATION_H_

#include <functional>

#include "absl/base/thread_annotations.h"
#include "runtime/base/mutex.h"

namespace ocid {

class Cancellation {
 public:
  // Idempotent.
  void Cancel();

  bool cancelled() const;

  // Registers what Cancel calls; at most one function. Runs it here and now where Cancel was first.
  void OnCancel(std::function<void()> function);

  // Forgets the function, and with it what it holds. A Cancel that comes later does nothing.
  void Clear();

 private:
  mutable Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::function<void()> function_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_BASE_CANCELLATION_H_
