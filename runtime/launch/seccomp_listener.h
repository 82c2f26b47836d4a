// Hands the listener of a container's seccomp filter to the agent that the spec names. Only for code
// of this folder.
//
// Does not block: an agent that does not accept at once is an error. Source: runtime-spec
// config-linux.md#containerprocessstate, unix(7).
#ifndef OCID_RUNTIME_LAUNCH_SECCOMP_LISTENER_H_
#define OCID_RUNTIME_LAUNCH_SECCOMP_LISTENER_H_

#include <sys/types.h>

#include "runtime/base/unique_fd.h"
#include "runtime/plan/plan_format.h"

namespace ocid {

// `pid` is the process with the filter, `container` the container's first process: the same, or the
// filter is that of a process which joined it.
FailureRecord DeliverListener(const PlanView& plan, BorrowedFd listener, pid_t pid, pid_t container);

}  // namespace ocid

#endif  // OCID_RUNTIME_LAUNCH_SECCOMP_LISTENER_H_
