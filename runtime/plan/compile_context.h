// What the parts of the compiler share. Only for code of this folder.
//
// Each part reads its members of the spec and adds steps; errors go to the cursors' status and are
// looked at once, at the end (json_cursor.h).
#ifndef OCID_RUNTIME_PLAN_COMPILE_CONTEXT_H_
#define OCID_RUNTIME_PLAN_COMPILE_CONTEXT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/oci/json_cursor.h"
#include "runtime/plan/plan_compile.h"
#include "runtime/plan/plan_writer.h"

namespace ocid {

struct CompileContext {
  JsonCursor spec;
  HostFacts host;
  SeccompCache* seccomp_cache = nullptr;
  std::string bundle;
  PlanWriter writer = {};
  std::vector<std::string> warnings = {};

  // CreatePlanRequest::network_namespace, where the container has a use for it.
  std::string network_namespace = {};

  // What ReadNamespaces found: CLONE_NEW* of the namespaces that the spec names, and of those that
  // are made anew and not joined by path.
  uint64_t named_namespaces = 0;
  uint64_t new_namespaces = 0;
  bool has_user_namespace() const;
  // Device nodes are bound from the host's, because nobody may make them.
  bool binds_devices() const;
  // An ordinary user maps its own id alone, for which the kernel wants setgroups(2) denied.
  bool denies_setgroups() const;
  // Whether the mount namespace is the container's own. One that it shares, with the host or by
  // path, keeps its root and its propagation: the container gets a bind of its root file system
  // there, and enters it by chroot(2).
  bool has_own_mount_namespace() const;

  // Sources of mounts are opened before the child gives up the host's root, if it does; slot 0 is
  // for those that are opened and used at once.
  uint32_t next_slot = 1;
};

// Takes a slot for one mount; notes an error if there is none left.
uint32_t TakeSlot(CompileContext& context, const JsonCursor& where);

// compile_namespaces.cc: linux.namespaces, id mappings, time offsets; what must happen first.
void ReadNamespaces(CompileContext& context);
void CompileNamespaces(CompileContext& context);
// The lines of /proc/PID/uid_map for a list of mappings.
std::string IdMapText(const JsonCursor& list);

// compile_host.cc: linux.netDevices, linux.intelRdt.
void CompileNetDevices(CompileContext& context);
void CompileIntelRdt(CompileContext& context, const std::string& id);

// compile_mounts.cc: root, mounts, rootfsPropagation.
struct MountPlanInput {
  std::string rootfs;
  std::vector<CgroupMount> cgroups;
};
void CompileMounts(CompileContext& context, const MountPlanInput& input);

// compile_root.cc: devices, masked and read-only paths, hostname, sysctl; the way into the root.
void CompileDevices(CompileContext& context);
void CompileKernelSettings(CompileContext& context);
void CompileEnterRoot(CompileContext& context);

// compile_process.cc: the `process` object. `Prepare` is what happens before the start gate.
void CompileProcessPrepare(CompileContext& context, const JsonCursor& process, bool joins);
void CompileProcessStart(CompileContext& context, const JsonCursor& process);

// compile_hooks.cc: hooks, and the state document that they and seccomp agents read.
void CompileHooks(CompileContext& context);
void CompileState(CompileContext& context, const std::string& id);

// Clean and absolute: "/a//b/./c/" -> "/a/b/c", "a" -> "/a"; ".." is left for the kernel, which
// resolves it inside the root.
std::string CleanPlanPath(std::string_view path);
std::string ResolvePath(std::string_view base, std::string_view path);
bool IsBeneath(std::string_view path, std::string_view directory);

// Opens a host path into a slot, in the phase's right place; returns the slot.
uint32_t AddOpenTree(CompileContext& context, const JsonCursor& where, std::string_view path,
                     bool recursive, SourceCheck check = SourceCheck::kNone);

}  // namespace ocid

#endif  // OCID_RUNTIME_PLAN_COMPILE_CONTEXT_H_
