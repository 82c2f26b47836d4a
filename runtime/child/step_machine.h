// What the steps of a plan share while a child executes them. Only for code of this folder.
#ifndef OCID_RUNTIME_CHILD_STEP_MACHINE_H_
#define OCID_RUNTIME_CHILD_STEP_MACHINE_H_

#include "runtime/base/raw_syscall.h"
#include "runtime/child/string_vector.h"
#include "runtime/plan/plan_format.h"

namespace ocid {

// What came of a step: an errno, and which part of the step it was.
struct Outcome {
  int error = 0;
  FailureDetail detail = FailureDetail::kNone;
  uint32_t argument = 0;

  bool ok() const { return error == 0; }
};

inline Outcome Done() { return {}; }

// `result` as raw_syscall.h returns it.
inline Outcome From(long result, FailureDetail detail = FailureDetail::kNone,
                    uint32_t argument = 0) {
  if (result >= 0) return {};
  return {static_cast<int>(-result), detail, argument};
}

// makedev(3), which is a call into libc (sys/sysmacros.h has the layout).
constexpr uint64_t DeviceNumber(uint64_t major, uint64_t minor) {
  return (major & 0xfff) << 8 | (major & ~uint64_t{0xfff}) << 32 | (minor & 0xff) |
         (minor & ~uint64_t{0xff}) << 12;
}

struct StepMachine {
  PlanView plan;
  int socket = -1;
  int join = -1;
  int hook_output = -1;
  int gate = -1;
  unsigned first_private_fd = 3;  // descriptors from here on are the machine's own
  raw::Fd root;                   // the container's root directory, O_PATH
  raw::Fd proc;                   // a private procfs
  raw::Fd empty_directory;        // the mount that hides masked directories
  raw::Fd directory;              // the directory that device nodes were last made in ...
  uint32_t directory_offset = 0;  // ... and its path's place in the plan
  StringVectors program;          // argv and envp of kExecute, made before seccomp can forbid it
  char home[4096];                // "HOME=...", if the process has none
  int slot[kMaxSlots];            // trees between kOpenTree and kAttachTree, or -1
};

// One group of steps each; a step of another group is ENOSYS.
Outcome ExecuteMountStep(StepMachine& machine, const PlanStep& step);
Outcome ExecuteDeviceStep(StepMachine& machine, const PlanStep& step);
Outcome ExecuteIdentityStep(StepMachine& machine, const PlanStep& step);

}  // namespace ocid

#endif  // OCID_RUNTIME_CHILD_STEP_MACHINE_H_
