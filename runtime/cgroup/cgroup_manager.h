// CgroupManager: makes the control groups of containers, and finds them again.
//
//   cgroupfs  writes cgroup files itself. cgroup2 must be mounted; v1 hierarchies beside it (a
//   hybrid
//             host) are used for the controllers that they have.
//   systemd   a transient scope per container, so that systemd, which owns the tree on a host that
//   it
//             runs, knows the container and its limits and keeps them over a daemon-reload.
//   none      no control groups at all; containers with limits are refused.
//
// linux.cgroupsPath                cgroupfs                            systemd
//   empty                          <parent>/<id>                       ocid-<id>.scope in <slice>
//   "a/b"                          <parent>/a/b                        an error
//   "/a/b"                         /a/b from the mount's root          an error
//   "slice:prefix:name"            an error                            <prefix>-<name>.scope in
//   <slice>
//
// The manager never touches a cgroup that it did not make: Create fails with ALREADY_EXISTS,
// CGROUP_BUSY where the path is populated (an empty leftover of the same path is taken over after
// its removal), Remove removes the leaf and its sub-cgroups, and parents only when they were made
// by this path and are empty.
//
// `resources` is linux.resources of the OCI spec, or null. Conversions:
// runtime/cgroup/cgroup_settings.h. Without `resources.devices` access to devices is not
// restricted: the default list is the business of who writes the spec.
//
// A Cgroup may outlive the manager that made it. Thread-safe. Create and Open with `systemd` wait
// for systemd at most Options::systemd_timeout.
#ifndef OCID_RUNTIME_CGROUP_CGROUP_MANAGER_H_
#define OCID_RUNTIME_CGROUP_CGROUP_MANAGER_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "runtime/cgroup/cgroup.h"
#include "runtime/cgroup/unit_property.h"

namespace ocid {

enum class CgroupManagerKind { kAuto, kSystemd, kCgroupfs, kNone };

// "auto", "systemd", "cgroupfs", "none".
std::string_view CgroupManagerKindName(CgroupManagerKind kind);
absl::StatusOr<CgroupManagerKind> ParseCgroupManagerKind(std::string_view name);

struct CgroupManagerOptions {
  // kAuto: systemd where it is PID 1 and answers on the bus, else cgroupfs.
  CgroupManagerKind kind = CgroupManagerKind::kAuto;
  // cgroupfs: where containers without an absolute cgroupsPath go, from the mount's root.
  std::string parent = "ocid";
  // systemd: where scopes go that do not name a slice.
  std::string slice = "system.slice";
  // A limit that no controller here can enforce becomes a warning instead of an error.
  bool allow_missing_controllers = false;
  // v1 controllers that a container joins without a limit too, so that Stats counts them: a
  // directory and some 50 microseconds each. cgroup2's cpu, memory, pids and io are always counted.
  std::vector<std::string> accounting = {};
  // Rules for devices become a BPF program on cgroup2 also where a v1 hierarchy has the controller:
  // a process that enters a v1 cgroup waits for all CPUs, 10 to 25 ms on a machine that idles.
  bool prefer_device_programs = false;
  // systemd: for a program that makes or finds one cgroup. Open then asks systemd nothing, and a request
  // says if it does not answer.
  bool short_lived = false;
  // How long systemd may take for one request.
  absl::Duration systemd_timeout = absl::Seconds(25);
};

class CgroupManager {
 public:
  // Looks at the mounts once. FAILED_PRECONDITION if the machine cannot do what `kind` needs.
  static absl::StatusOr<std::unique_ptr<CgroupManager>> Open(const CgroupManagerOptions& options);

  virtual ~CgroupManager() = default;
  CgroupManager(const CgroupManager&) = delete;
  CgroupManager& operator=(const CgroupManager&) = delete;

  // What kAuto became.
  virtual CgroupManagerKind kind() const = 0;
  // One line for logs and `ocictl info`: "hybrid: cgroup2 at ... (hugetlb), v1 memory at ...".
  virtual std::string Describe() const = 0;

  // What Create would refuse in `cgroups_path` and `resources`, with nothing created.
  virtual absl::Status Validate(std::string_view id, std::string_view cgroups_path,
                                const nlohmann::json& resources) const = 0;

  // Makes the cgroup, empty, with every limit in force. `unit_properties`: from
  // ParseUnitAnnotations, of use to `systemd` only. On failure nothing is left behind.
  virtual absl::StatusOr<std::unique_ptr<Cgroup>> Create(
      std::string_view id, std::string_view cgroups_path, const nlohmann::json& resources,
      const std::vector<UnitProperty>& unit_properties = {}) = 0;

  // Finds the cgroup that Create made with the same arguments, perhaps in another process's life.
  // NOT_FOUND if it is gone. Changes nothing.
  virtual absl::StatusOr<std::unique_ptr<Cgroup>> Open(std::string_view id,
                                                       std::string_view cgroups_path) = 0;

  // The directory in cgroup2 for the processes that look after containers and outlive the daemon,
  // for CLONE_INTO_CGROUP. With `systemd` it is a scope of their own, so that nothing that is done to
  // the daemon's unit reaches them; it is made when it is first asked for, or gone, and stays while a
  // process is in it or this manager lives. Invalid with other managers: they stay beside the daemon.
  virtual absl::StatusOr<UniqueFd> SupervisorCgroup() { return UniqueFd(); }

  // How long requests to systemd have taken so far.
  virtual absl::Duration TimeWaited() const { return absl::ZeroDuration(); }

 protected:
  CgroupManager() = default;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_CGROUP_MANAGER_H_
