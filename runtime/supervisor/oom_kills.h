// Reads how often the kernel killed for lack of memory in a cgroup. Nothing allocates. Thread-safe.
// Sources: cgroup-v2.rst "memory.events", cgroup-v1/memory.rst "OOM Control".
#ifndef OCID_RUNTIME_SUPERVISOR_OOM_KILLS_H_
#define OCID_RUNTIME_SUPERVISOR_OOM_KILLS_H_

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/unique_fd.h"

namespace ocid {

// The number in the line "oom_kill N" of memory.events or memory.oom_control; 0 where there is none.
uint32_t ParseOomKills(const char* text, size_t size);

// The same of such a file, from its beginning; 0 where the cgroup is gone.
uint32_t ReadOomKills(BorrowedFd file);

}  // namespace ocid

#endif  // OCID_RUNTIME_SUPERVISOR_OOM_KILLS_H_
