// The seccomp filter of the program, with or without an agent that is asked about system calls.
//
// Source: seccomp(2), seccomp_unotify(2).
#ifndef OCID_RUNTIME_CHILD_SECCOMP_STEPS_H_
#define OCID_RUNTIME_CHILD_SECCOMP_STEPS_H_

#include "runtime/child/step_machine.h"

namespace ocid {

// Blocks, where the filter has a listener, until the host has handed it to the agent.
Outcome LoadSeccomp(const StepMachine& machine, const PlanStep& step);

}  // namespace ocid

#endif  // OCID_RUNTIME_CHILD_SECCOMP_STEPS_H_
