// SpawnProcess: starts a program in a given control group.
//
// Like posix_spawn(3), which cannot: the child shares this process's memory until it has executed the
// program, so nothing is copied, and between the two it makes system calls only. It is born in its
// control group; moving it there later would wait for every CPU. Thread-safe. Blocks until the program
// has been executed. Sources: clone(2), CLONE_INTO_CGROUP; vfork(2).
#ifndef OCID_RUNTIME_HOST_SPAWN_PROCESS_H_
#define OCID_RUNTIME_HOST_SPAWN_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

struct SpawnRequest {
  std::string program;
  std::vector<std::string> args;  // argv; the environment is empty
  // Descriptors and the numbers that the program gets them as. Higher ones of this process must be
  // close-on-exec, and a descriptor must not have the number of another's target.
  std::vector<std::pair<BorrowedFd, int>> fds;
  BorrowedFd cgroup2_dir;  // invalid: this process's
};

struct SpawnedProcess {
  pid_t pid = -1;  // a child of this process, to be waited for
  UniqueFd pidfd;
};

// The program runs in a session of its own, in "/", with every signal blocked. NOT_FOUND where the
// control group is gone.
absl::StatusOr<SpawnedProcess> SpawnProcess(const SpawnRequest& request);

}  // namespace ocid

#endif  // OCID_RUNTIME_HOST_SPAWN_PROCESS_H_
