// DrainSignal: ends the calls that would otherwise wait for as long as a container runs, so that
// the daemon can stop serving.
//
// A waiting call registers its Cancellation; Begin cancels all of them, and each that comes later
// at once. The call then answers UNAVAILABLE, SHUTTING_DOWN, and its client asks the next daemon.
//
// Thread-safe. Begin runs the cancellations' functions on its own thread and under no lock.
#ifndef OCID_DAEMON_API_DRAIN_SIGNAL_H_
#define OCID_DAEMON_API_DRAIN_SIGNAL_H_

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "daemon/base/cancellation.h"
#include "runtime/base/mutex.h"

namespace ocid {

class DrainSignal {
 public:
  using Id = uint64_t;

  Id Register(std::shared_ptr<Cancellation> cancellation);
  void Unregister(Id id);

  void Begin();
  bool begun() const;

 private:
  mutable Mutex mutex_;
  bool begun_ ABSL_GUARDED_BY(mutex_) = false;
  Id last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unordered_map<Id, std::shared_ptr<Cancellation>> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_API_DRAIN_SIGNAL_H_
