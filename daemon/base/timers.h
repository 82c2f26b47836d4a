// Timers: the time of day, and functions that run later.
//
//   MakeTimers()   the real ones: one thread
//   ManualTimers   (manual_timers.h) for tests: time moves when told to
//
// Functions run on the timers' thread, one after the other and under no lock: they must be short and
// hand over to a pool what is not. Delays are measured on the monotonic clock, Now is the wall clock.
// Destroying timers forgets what is pending. Thread-safe; nothing blocks but the destructor.
#ifndef OCID_DAEMON_BASE_TIMERS_H_
#define OCID_DAEMON_BASE_TIMERS_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/time/time.h"

namespace ocid {

using TimerId = uint64_t;  // never 0

class Timers {
 public:
  virtual ~Timers() = default;

  virtual absl::Time Now() const = 0;

  // Runs `function` once when `delay` has passed; at once, on the timers' thread, where it is not
  // positive.
  virtual TimerId After(absl::Duration delay, std::function<void()> function) = 0;

  // False where it has run, is running or was cancelled before.
  virtual bool Cancel(TimerId id) = 0;
};

std::unique_ptr<Timers> MakeTimers();

}  // namespace ocid

#endif  // OCID_DAEMON_BASE_TIMERS_H_
