// Drift: where the kernel, now, disagrees with the spec that a container runs with.
//
// Compares the final spec with what /proc, cgroup files and the container's device nodes say:
// namespaces, identities, capabilities, limits, mounts, names, sysctls, cgroup limits and device
// policy, the environment that init began with, and the CDI files that devices came from. Every
// difference names a JSON pointer of the spec, what is expected, what is there, and where that was
// read. What cannot be told (no permission, a file that the kernel does not have) is on record as
// unchecked, with the reason, and is never a difference.
//
// Who changed something does not matter: a process that gives up its own capabilities differs from
// its spec, and is reported.
//
// Read-only, and safe against the container: processes are held by a descriptor of /proc/PID, so
// that no later process of the same pid is looked at; paths inside are walked by openat2(2) below
// /proc/PID/root; everything read has a limit. Names and sysctls are read by a thread that enters
// the container's namespaces and ends.
//
// Thread-safe. Blocks on the file systems of /proc, of the container and of the CDI folders.
// Sources: proc(5), capabilities(7), namespaces(7), openat2(2), statx(2), cgroup-v2.rst.
#ifndef OCID_DAEMON_SPEC_DRIFT_DRIFT_H_
#define OCID_DAEMON_SPEC_DRIFT_DRIFT_H_

#include <sys/types.h>

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/spec/drift/drift_report.h"
#include "daemon/spec/spec_journal.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/oci/oci_spec.h"
#include "runtime/plan/plan_compile.h"

namespace ocid {

class CdiRegistry;

// One container, as it should be. What is referred to must outlive the call.
struct DriftSubject {
  pid_t init_pid = 0;
  uint64_t init_start_time = 0;  // field 22 of proc_pid_stat(5)
  // A process in the namespaces that the container does not have of its own: its supervisor.
  pid_t parent_pid = 0;
  // The program has been executed. Before that the process still is the launcher's own.
  bool executed = false;
  const OciSpec& spec;
  const SpecJournal& journal;
  // linux.resources in force: those of the spec, with later updates.
  const nlohmann::json& resources;
  std::vector<CgroupPath> cgroups;  // none: control groups are not checked
  // systemd keeps the cgroup: it has defaults of its own, and rounds.
  bool systemd = false;
  HostFacts host = {};
  CdiRegistry* devices = nullptr;  // null: CDI files are not checked
};

// FAILED_PRECONDITION if the process has ended.
absl::StatusOr<DriftReport> DetectDrift(const DriftSubject& subject);

}  // namespace ocid

#endif  // OCID_DAEMON_SPEC_DRIFT_DRIFT_H_
