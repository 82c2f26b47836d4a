// Compiles an OCI spec to a LaunchPlan. Pure: the same request gives the same bytes, and nothing is
// read from the machine; what the compiler must know about it comes in HostFacts.
//
// The document must have passed runtime/oci's validation; what is checked here is what the executor
// can do. A value that is wrong is INVALID_ARGUMENT, a field of the specification that is not
// implemented is UNIMPLEMENTED, and both carry a FieldViolation with the JSON pointer
// (error_details.h). Properties that the specification does not know are ignored, as it asks.
//
// Thread-safe (functions of their arguments; SeccompCache locks itself); nothing blocks.
//
//   CreatePlanRequest request{.spec = spec.document(), .id = "c1", .bundle = "/bundles/c1"};
//   request.host = facts;
//   absl::StatusOr<LaunchPlan> plan = CompileCreate(request);
//
// Source: github.com/opencontainers/runtime-spec, config.md and config-linux.md, v1.3.0.
#ifndef OCID_RUNTIME_PLAN_PLAN_COMPILE_H_
#define OCID_RUNTIME_PLAN_PLAN_COMPILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "runtime/plan/launch_plan.h"

namespace ocid {

class SeccompCache;

// What the compiler must know about the machine, gathered once by the caller.
struct HostFacts {
  // Capability bounding set of the process that will launch (CapBnd of /proc/self/status): what it
  // cannot grant is left out with a warning, as the specification asks.
  uint64_t capability_bounds = ~uint64_t{0};
  bool apparmor = false;
  bool selinux = false;
  // Whether the launcher may map any ids, set groups and enter any namespace. An ordinary user may
  // map its own id, and what the programs newuidmap and newgidmap (paths; empty: not there) give it.
  bool privileged = true;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string newuidmap = {};
  std::string newgidmap = {};
  // The launcher is in a user namespace: nobody there may make device nodes.
  bool in_user_namespace = false;
  // Where resctrl is mounted; empty: nowhere.
  std::string resctrl = {};
};

// One cgroup directory of the container on the host.
struct CgroupMount {
  // Name of the directory under the mount's destination: "cpu", "systemd", "unified". Empty: the
  // directory is the destination itself (a pure cgroup2 host).
  std::string name;
  std::string host_path;
};

struct CreatePlanRequest {
  const nlohmann::json& spec;
  std::string id;
  std::string bundle;  // absolute
  HostFacts host = {};
  // What a mount of type "cgroup" shows. On a host with cgroup v1 controllers: one entry for each
  // hierarchy; on a cgroup2 host: one entry without a name. None: an empty read-only directory.
  std::vector<CgroupMount> cgroup_mounts = {};
  // Where compiled seccomp programs are kept; null: compiled anew.
  SeccompCache* seccomp_cache = nullptr;
  // The root file system, if it is not the spec's root.path. Absolute.
  std::string rootfs_override = {};
  // The container's processes keep the session keyring of who launches them.
  bool keep_keyring = false;
  // The new network namespace of a container without a user namespace, where somebody made it already.
  // Absolute; empty: the launch makes one.
  std::string network_namespace = {};
};

absl::StatusOr<LaunchPlan> CompileCreate(const CreatePlanRequest& request);

struct ExecPlanRequest {
  const nlohmann::json& spec;     // the final spec that the container was created with
  const nlohmann::json& process;  // an OCI `process` object, complete; pointers start at /process
  std::string id;
  std::string bundle;
  HostFacts host = {};
  SeccompCache* seccomp_cache = nullptr;
};

absl::StatusOr<LaunchPlan> CompileExec(const ExecPlanRequest& request);

}  // namespace ocid

#endif  // OCID_RUNTIME_PLAN_PLAN_COMPILE_H_
