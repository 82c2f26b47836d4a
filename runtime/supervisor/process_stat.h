// Reads /proc/PID/stat. Nothing allocates. Thread-safe. Source: proc(5).
#ifndef OCID_RUNTIME_SUPERVISOR_PROCESS_STAT_H_
#define OCID_RUNTIME_SUPERVISOR_PROCESS_STAT_H_

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

namespace ocid {

// Field 22 (starttime, clock ticks since boot) of a line of /proc/PID/stat; 0 if it is none.
uint64_t ParseStartTime(const char* stat, size_t size);

// The same of a living process or zombie; 0 if there is none.
uint64_t ReadStartTime(pid_t pid);

}  // namespace ocid

#endif  // OCID_RUNTIME_SUPERVISOR_PROCESS_STAT_H_
