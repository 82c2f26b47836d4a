// Runs one OCI hook and waits for it. Used by the child for hooks in the container, and by the
// launcher for hooks in the runtime's namespaces.
//
// The hook gets exactly the step's environment, the container's state on its standard input, a
// session of its own, and no other descriptor than 0, 1 and 2. Blocks until it ends or its timeout
// is over; then it and its process group are killed.
#ifndef OCID_RUNTIME_CHILD_RUN_HOOK_H_
#define OCID_RUNTIME_CHILD_RUN_HOOK_H_

#include <sys/types.h>

#include "runtime/child/step_machine.h"

namespace ocid {

// `pid` is what the hook shall read as the container's pid; 0: none. `output` < 0: /dev/null.
Outcome RunHook(const PlanView& plan, const PlanStep& step, pid_t pid, int output);

}  // namespace ocid

#endif  // OCID_RUNTIME_CHILD_RUN_HOOK_H_
