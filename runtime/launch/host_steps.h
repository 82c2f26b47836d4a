// The steps of kAfterClone: what the host does for a child that waits for its first go. Only for code
// of this folder.
//
// Blocks on the kernel and, where ids are mapped by a program, on that program. Raw, allocates nothing.
// Sources: user_namespaces(7), newuidmap(1), mount_setattr(2), Documentation/arch/x86/resctrl.rst.
#ifndef OCID_RUNTIME_LAUNCH_HOST_STEPS_H_
#define OCID_RUNTIME_LAUNCH_HOST_STEPS_H_

#include <sys/types.h>

#include "runtime/base/unique_fd.h"
#include "runtime/child/step_machine.h"
#include "runtime/plan/plan_format.h"

namespace ocid {

// `child` is the socket to the child, which takes opened trees there.
Outcome RunAfterCloneStep(const PlanView& plan, const PlanStep& step, pid_t pid, BorrowedFd child);

// net_device.cc
Outcome MoveNetDevice(const char* name, const char* new_name, pid_t pid);

}  // namespace ocid

#endif  // OCID_RUNTIME_LAUNCH_HOST_STEPS_H_
