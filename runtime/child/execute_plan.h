// What a freshly cloned child does: puts its descriptors in place, executes the child's steps of a
// plan, and becomes the program. launcher.h draws its conversation with the host.
//
// Runs between clone and execve of a process that may have been anything: raw system calls and the
// plan alone, no malloc, no libc state, no exceptions (undefined_symbols_test checks the archive).
#ifndef OCID_RUNTIME_CHILD_EXECUTE_PLAN_H_
#define OCID_RUNTIME_CHILD_EXECUTE_PLAN_H_

#include <cstddef>

#include "runtime/plan/plan_format.h"

namespace ocid {

struct ChildArguments {
  int setup_socket = -1;
  bool await_host = false;  // wait for a go before the first step
  int standard[3] = {-1, -1, -1};
  const int* cgroup_procs = nullptr;
  size_t cgroup_procs_count = 0;
  int join = -1;
  unsigned preserve = 0;
  int hook_output = -1;
  int gate = -1;  // a listening socket: the go at the gate comes over a connection to it
};

[[noreturn]] void ExecutePlan(const PlanView& plan, const ChildArguments& arguments);

// Writes r1 of a kWriteProcSelf step; for the host's half. 0, or -errno.
long WriteProcSelf(const PlanView& plan, const PlanStep& step);

}  // namespace ocid

#endif  // OCID_RUNTIME_CHILD_EXECUTE_PLAN_H_
