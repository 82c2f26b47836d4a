// The floor under a container's life: what no runtime can leave out, and nothing else.
//
// Needs root. Thread-hostile: clones without care for other threads. Calls block.
#ifndef OCID_TESTS_BENCHMARK_FLOOR_H_
#define OCID_TESTS_BENCHMARK_FLOOR_H_

#include <sys/types.h>

#include <string>

namespace ocid {

// clone3 with new pid, mount, network, IPC and UTS namespaces, a bind mount of `rootfs`, pivot_root,
// mount of /proc, execve of /bin/true, wait. False, with errno set, if any of it failed.
bool RunFloor(const std::string& rootfs);

// clone into the namespaces of `pid` through its pidfd, execve of /bin/true, wait: the floor under an
// exec.
bool RunExecFloor(pid_t pid);

}  // namespace ocid

#endif  // OCID_TESTS_BENCHMARK_FLOOR_H_
