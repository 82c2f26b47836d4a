// Cgroup: one container's control group, in every hierarchy that holds a part of it.
//
// The part in cgroup2 is always there: it tracks the container's processes, freezes them and kills
// them. Limits live in whichever hierarchy has the controller: on a hybrid host in directories of
// the same path below the v1 mounts, of which only those exist that the container's resources need.
//
// The first process of a container is born in its cgroup, so that no moment exists in which it is
// outside: clone3(CLONE_INTO_CGROUP) with unified_fd(), and the child itself writes "0" to each of
// v1_procs_fds() before it runs anything of the user's:
//
//   auto cgroup = manager.Create(id, cgroups_path, resources);
//   ... start a process with (*cgroup)->unified_fd() and v1_procs_fds() ...
//   (*cgroup)->ReleaseAnchor();        // a systemd scope now lives by the process itself
//   ...
//   (*cgroup)->Remove(absl::Seconds(10));
//
// Ownership: holds descriptors of its directories, and no claim on the kernel's objects: destroying
// a Cgroup leaves the control group as it is; Remove() removes it. Thread-compatible. Calls read
// and write cgroup files, which is fast; those that wait take a timeout. With the manager `none`
// there is no control group: exists() is false, and what needs one answers FAILED_PRECONDITION,
// NO_CGROUP.
//
// Reasons of errors (runtime/base/error_details.h):
//   CONTROLLER_MISSING    no hierarchy here has the controller ("controller", "pointer")
//   RESOURCE_INVALID      a value of linux.resources makes no sense (field violation: JSON pointer)
//   RESOURCE_REFUSED      the kernel or systemd refused a value ("file", "pointer" where known)
//   CGROUP_PATH_INVALID   linux.cgroupsPath is not acceptable
//   CGROUP_BUSY           the path is in use by processes that are not ours to disturb
//   CGROUP_TIMEOUT        a freeze, or a removal, did not end in time ("pids": who is left)
//   CGROUP_IO             reading or writing a cgroup file failed ("file")
//   NO_CGROUP             there is none: manager `none`, or it is gone
//   SYSTEMD_FAILED        systemd answered with an error, or not at all ("unit", "error")
//
// Sources: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/*.rst, cgroups(7), clone(2).
#ifndef OCID_RUNTIME_CGROUP_CGROUP_H_
#define OCID_RUNTIME_CGROUP_CGROUP_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "runtime/base/unique_fd.h"
#include "runtime/cgroup/cgroup_stats.h"

namespace ocid {

// Where one part of a container's cgroup is, for reports and for the record on disk.
struct CgroupPath {
  std::string
      controllers;  // "" for cgroup2, else as mounted: "memory", "cpu,cpuacct", "name=systemd"
  std::string directory;  // absolute: "/sys/fs/cgroup/memory/ocid/web"

  friend bool operator==(const CgroupPath&, const CgroupPath&) = default;
};

class Cgroup {
 public:
  virtual ~Cgroup() = default;
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;

  virtual bool exists() const = 0;

  // The directory in cgroup2, for CLONE_INTO_CGROUP. Not valid if !exists().
  virtual BorrowedFd unified_fd() const = 0;

  // cgroup.procs, open for writing, of each v1 directory of this container. A process joins by
  // writing "0". Lent until the Cgroup changes (Update may add directories) or dies.
  virtual std::vector<BorrowedFd> v1_procs_fds() const = 0;

  // Call once the container's first process is in the cgroup. A systemd scope cannot begin without
  // a process, so one that does nothing holds it open until then. No effect with other managers.
  virtual void ReleaseAnchor() = 0;

  // The directories that exist, cgroup2 first.
  virtual std::vector<CgroupPath> Paths() const = 0;

  // The unit's name with the manager `systemd`, else empty.
  virtual std::string unit() const = 0;

  // Limits that were asked for and are not enforced (allow_missing_controllers), a sentence each;
  // they are the last Create's or Update's.
  virtual const std::vector<std::string>& warnings() const = 0;

  // Stops every process below this cgroup, and waits until the kernel says they stand. On failure
  // they run again.
  virtual absl::Status Freeze(absl::Duration timeout) = 0;
  virtual absl::Status Thaw(absl::Duration timeout) = 0;
  virtual absl::StatusOr<bool> Frozen() const = 0;

  // SIGKILL to every process below this cgroup, frozen or not, forks in flight included
  // (cgroup.kill). Does not wait: see Populated() and CgroupEvents.
  virtual absl::Status Kill() = 0;

  // Process ids in this cgroup and all below it, ascending, each once. A process of another pid
  // namespace that has no id in ours is left out.
  virtual absl::StatusOr<std::vector<pid_t>> Pids() const = 0;
  // Whether any process is in this cgroup or below it. A cgroup that is gone is not populated.
  virtual absl::StatusOr<bool> Populated() const = 0;

  virtual absl::StatusOr<CgroupStats> Stats() const = 0;

  // Processes killed for lack of memory below this cgroup. 0 without a memory cgroup: a kill is
  // then not this container's limit at work.
  virtual absl::StatusOr<uint64_t> OomKillCount() const = 0;
  // The file whose line "oom_kill" is that count, for whoever must read it the moment the last process
  // ends: memory.events, or v1's memory.oom_control. Invalid without a memory cgroup.
  virtual UniqueFd OpenOomKillFile() const = 0;

  // Applies `resources` (linux.resources; members that are absent stay as they are). Everything is
  // checked before anything is written; the error of a write names the file. Where the container
  // has no cgroup yet in a v1 hierarchy that a new limit needs, one is made and its processes
  // moved.
  virtual absl::Status Update(const nlohmann::json& resources) = 0;

  // Lets this user of the host make cgroups inside and move processes among them, but not change the
  // limits. On a host with v1 controllers it does nothing, as nothing could be handed down safely.
  virtual absl::Status GiveTo(uid_t owner) = 0;

  // Kills what is left, waits until it is gone, and removes all directories, sub-cgroups first.
  // Idempotent. CGROUP_TIMEOUT names the processes that would not die.
  virtual absl::Status Remove(absl::Duration timeout) = 0;

 protected:
  Cgroup() = default;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_CGROUP_H_
