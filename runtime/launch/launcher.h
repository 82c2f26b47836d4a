// Starts a process that executes a plan (plan_format.h), and does the host's half of it.
//
//   launcher                               child
//     socketpair, clone3 ------------------> put descriptors in place, enter cgroups
//     on_cloned(), kAfterClone steps
//     trees, go ---------------------------> (if there was anything to wait for)
//                                            kRoot steps, to kCloneAgain
//     <------------------------- cloned ---- (if the plan has one; the first child ends here)
//     go ----------------------------------> in the clone: the other kRoot steps, kSetup steps
//     <------------------------ console ---- (if the plan has one)
//     <-------------------------- hooks ---- (if the plan has kRuntimeHooks steps)
//     kRuntimeHooks steps, go -------------> kEnter steps
//     <-------------------------- ready ---- (if the plan has a gate)
//   Launch returns
//   OpenGate: go --------------------------> kStart steps, execve
//   (or ConnectGate, by any process)
//   ReadStatus: listener <---------------- (if the filter has one) told to the agent; go
//               end of file <-------------- execve closed the socket: the program runs
//               failure     <-------------- a step failed, or the child died
//
// The caller must be single-threaded: Launch clones without atfork handlers, and for a plan that
// joins a pid namespace by its path it enters that for its children for the length of one clone.
// Uses raw types only, allocates nothing, throws nothing. Thread-hostile.
//
// Sources: clone(2), pidfd_open(2), setns(2), unix(7), runtime-spec runtime.md#lifecycle.
#ifndef OCID_RUNTIME_LAUNCH_LAUNCHER_H_
#define OCID_RUNTIME_LAUNCH_LAUNCHER_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "runtime/base/unique_fd.h"
#include "runtime/plan/plan_format.h"

namespace ocid {

// Descriptors that the child needs; all are lent. Everything else that the caller has open is
// closed in the child, close-on-exec or not.
struct LaunchFds {
  // Become 0, 1 and 2. None: /dev/null. Not used if the plan makes a console.
  BorrowedFd standard_input;
  BorrowedFd standard_output;
  BorrowedFd standard_error;
  // A cgroup2 directory that the child is born into.
  BorrowedFd cgroup;
  // Open cgroup.procs files that the child writes itself into, first thing.
  const int* cgroup_procs = nullptr;
  size_t cgroup_procs_count = 0;
  // A process of the container to join, as a pidfd; for plans with kPlanJoins.
  BorrowedFd join;
  // Of the plan's namespaces (CLONE_NEW*) those that the caller has entered for the child.
  uint64_t made_namespaces = 0;
  // This many descriptors from 3 on stay open in the program.
  unsigned preserve = 0;
  // Standard output and error of hooks; none: /dev/null. With `gate`, not of startContainer hooks.
  BorrowedFd hook_output;
  // A listening SOCK_SEQPACKET socket, for a caller that does not live as long as the child stands
  // at its gate. The child accepts a connection there in place of OpenGate: see ConnectGate.
  BorrowedFd gate;
};

inline constexpr size_t kMaxCgroupProcs = 32;

// Called after the clone and before the child does anything; may block. The child goes on if it
// returns 0; an errno ends the launch with kFailedCallback.
struct OnCloned {
  int (*function)(void* context, pid_t pid, BorrowedFd pidfd) = nullptr;
  void* context = nullptr;
};

struct Launched {
  pid_t pid = -1;  // as the caller sees it; a child of the caller, which must wait for it
  // The container's first process, for a seccomp agent: the same, unless the caller knows better (it
  // launched a process that joins).
  pid_t container = -1;
  UniqueFd pidfd;
  UniqueFd console;  // master of the pseudo-terminal, close-on-exec, blocking
  UniqueFd status;   // readable when ReadStatus has something to say
};

// Blocks until the child stands at its gate; for a plan without a gate, until the clone and the
// host's steps are done. On failure no process is left: the child has been killed and reaped.
[[nodiscard]] FailureRecord Launch(const PlanView& plan, const LaunchFds& fds,
                                   const OnCloned& on_cloned, Launched* out);

// Lets a child that stands at its gate go on. Does not block. EPIPE if it is gone.
[[nodiscard]] FailureRecord OpenGate(const Launched& launched);

// The gate of a child that was launched with LaunchFds::gate, from any process: connects
// `out->status` to the socket at `path` and lets the child go on; ReadStatus then says what came of
// it. ECONNREFUSED or ECONNRESET if no child stands there (any more).
[[nodiscard]] FailureRecord ConnectGate(const char* path, Launched* out);

enum class LaunchStatus {
  kPending,   // call again when `status` is readable
  kExecuted,  // the program runs
  kFailed,    // see the failure; the child exits, the caller reaps it as ever
};

// Does not block. Receives the console of a plan without a gate into `launched->console` on the
// way, and hands the listener of a seccomp filter to its agent: for that, who got `launched` from
// ConnectGate fills in its pid and pidfd.
LaunchStatus ReadStatus(const PlanView& plan, Launched* launched, FailureRecord* failure);

// Runs the plan's hooks of kPoststartHooks or kPoststopHooks in order, each with the OCI state on
// its standard input; blocks until they are done or their timeouts are. Stops at the first
// poststart hook that fails; poststop hooks all run, and the result is the first failure. `pid` is the container's, 0 when it has stopped.
[[nodiscard]] FailureRecord RunHooks(const PlanView& plan, Phase phase, pid_t pid,
                                     BorrowedFd hook_output = {});

}  // namespace ocid

#endif  // OCID_RUNTIME_LAUNCH_LAUNCHER_H_
