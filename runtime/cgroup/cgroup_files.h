// Cgroup directories and their files: the few operations that everything else here is made of.
//
// Directories are named by descriptor. Errors carry the reason CGROUP_IO and the metadata "file",
// and a code by errno: NOT_FOUND where it is gone (ENOENT, ENODEV), FAILED_PRECONDITION for EBUSY,
// INVALID_ARGUMENT for a refused value (EINVAL, ERANGE), PERMISSION_DENIED, RESOURCE_EXHAUSTED.
// Functions block no longer than the kernel takes, but for those with a Deadline. Thread-safe.
// Sources: cgroup-v2.rst "Core Interface Files"; kernfs(poll): fs/kernfs/file.c kernfs_fop_poll.
#ifndef OCID_RUNTIME_CGROUP_CGROUP_FILES_H_
#define OCID_RUNTIME_CGROUP_CGROUP_FILES_H_

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

// On the monotonic clock: a change of the time of day must not end a wait, or prolong it.
class Deadline {
 public:
  explicit Deadline(absl::Duration timeout)
      : at_(std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout)) {}

  bool Passed() const { return std::chrono::steady_clock::now() >= at_; }
  // For poll(2): whole milliseconds, rounded up; 0 once it has passed.
  int PollMilliseconds() const;

 private:
  std::chrono::steady_clock::time_point at_;
};

absl::Status CgroupError(std::string_view action, std::string_view file, int error);

// `path` is relative to `base`; an invalid `base` is the current directory.
absl::StatusOr<UniqueFd> OpenCgroupDirectory(BorrowedFd base, const std::string& path);
absl::StatusOr<UniqueFd> OpenCgroupFile(BorrowedFd directory, const std::string& file, int flags);
absl::StatusOr<std::string> ReadCgroupFile(BorrowedFd directory, const std::string& file);
// The same of a file that is open already; `name` is for errors.
absl::StatusOr<std::string> ReadOpenCgroupFile(BorrowedFd file, const std::string& name);
// In one write(2), as these files want it.
absl::Status WriteCgroupFile(BorrowedFd directory, const std::string& file, std::string_view value);

// Process ids in this directory and below. Zeros (processes of other pid namespaces) are left out.
absl::StatusOr<std::set<pid_t>> ListCgroupProcesses(BorrowedFd directory);

// Removes the directories below, then `name` itself, deepest first. Success if it does not exist;
// FAILED_PRECONDITION if a process is in one of them.
absl::Status RemoveCgroupTree(BorrowedFd parent, const std::string& name);

using CgroupEventValues = std::map<std::string, uint64_t>;

// cgroup.events of a cgroup2 directory: "populated", "frozen".
absl::StatusOr<CgroupEventValues> ReadCgroupEvents(BorrowedFd directory);

// Waits until `done` holds of cgroup.events. True if it did, false once the deadline has passed,
// NOT_FOUND if the cgroup was removed.
absl::StatusOr<bool> WaitForCgroupEvents(BorrowedFd directory, const Deadline& deadline,
                                         const std::function<bool(const CgroupEventValues&)>& done);

// SIGKILL to each process in this directory and below, one by one, and waits until they have ended:
// for v1, which has no cgroup.kill. True if all did in time.
absl::StatusOr<bool> KillCgroupProcesses(BorrowedFd directory, const Deadline& deadline);

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_CGROUP_FILES_H_
