// Clocks of clock_gettime(2) in nanoseconds. Thread-safe; nothing blocks.
#ifndef OCID_RUNTIME_SUPERVISOR_CLOCK_H_
#define OCID_RUNTIME_SUPERVISOR_CLOCK_H_

#include <stdint.h>
#include <time.h>

namespace ocid {

inline int64_t ClockNow(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

inline int64_t MonotonicNow() { return ClockNow(CLOCK_MONOTONIC); }

}  // namespace ocid

#endif  // OCID_RUNTIME_SUPERVISOR_CLOCK_H_
