// root, mounts, linux.rootfsPropagation.
//
// Source: runtime-spec config.md#mounts, config-linux.md#rootfs-mount-propagation.
#include <linux/mount.h>

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "runtime/plan/compile_context.h"
#include "runtime/plan/mount_options.h"

namespace ocid {
namespace {

// What may lie over a file of procfs: files that programs like lxcfs fake. Anything else there
// could hide what protects the container from itself.
constexpr std::string_view kCoverableProcFiles[] = {
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/uptime",
    "/proc/sys/kernel/ns_last_pid",
};

uint64_t Both(const MountAttributes& attributes) { return attributes.set | attributes.clear << 32; }

// Flags for a destination that lies on procfs, or 0 for one that does not.
uint64_t ProcTargetFlags(const JsonCursor& destination, std::string_view path,
                         std::string_view type, bool is_bind) {
  if (path == "/proc") {
    if (!is_bind && type != "proc") destination.Invalid("only procfs may be mounted here");
    return kTargetOnProcfs;
  }
  if (!IsBeneath(path, "/proc")) return 0;
  const bool coverable = std::find(std::begin(kCoverableProcFiles), std::end(kCoverableProcFiles),
                                   path) != std::end(kCoverableProcFiles);
  if (!is_bind || !coverable) destination.Invalid("must not be inside /proc");
  return kTargetOnProcfs;
}

struct Mount {
  JsonCursor cursor;
  std::string destination;
  std::string type;
  std::string source;
  MountOptions options;

  bool is_bind() const { return options.bind || type == "bind"; }
  bool maps_ids() const {
    return options.map_ids || cursor["uidMappings"].exists() || cursor["gidMappings"].exists();
  }
};

Mount ReadMount(const JsonCursor& cursor) {
  Mount mount{cursor, "", cursor["type"].String(), cursor["source"].String(),
              ReadMountOptions(cursor["options"])};
  const std::string destination = cursor["destination"].String();
  if (destination.empty()) cursor["destination"].Invalid("is missing");
  mount.destination = CleanPlanPath(destination);
  if (mount.destination == "/") cursor["destination"].Invalid("must not be the root");
  return mount;
}

class MountCompiler {
 public:
  MountCompiler(CompileContext& context, const MountPlanInput& input)
      : context_(context), writer_(context.writer), input_(input) {}

  void Compile(const Mount& mount) {
    if (mount.options.remount && !mount.is_bind()) {
      Remount(mount);
    } else if (mount.is_bind()) {
      Bind(mount);
    } else if (mount.type == "cgroup" || mount.type == "cgroup2") {
      Cgroups(mount);
    } else {
      FileSystem(mount);
    }
  }

 private:
  // /dev is filled after it is mounted, and only then read-only.
  void DeferReadonly(const Mount& mount, MountAttributes& attributes) {
    if (mount.destination != "/dev" || (attributes.set & MOUNT_ATTR_RDONLY) == 0) return;
    attributes.set &= ~uint64_t{MOUNT_ATTR_RDONLY};
    writer_.Add(Phase::kEnter, Opcode::kSetMountAttributes, mount.cursor.pointer(),
                {0, 0, MOUNT_ATTR_RDONLY}, {writer_.Text("/dev")});
  }

  static std::vector<std::string> Parameters(const Mount& mount) {
    std::vector<std::string> parameters;
    for (const auto& [key, value] : mount.options.parameters) {
      parameters.insert(parameters.end(), {key, value});
    }
    return parameters;
  }

  // The slot of a tree that the host opens, with ids mapped.
  uint32_t OpenIdmapped(const Mount& mount, const std::string& source) {
    const JsonCursor uids = mount.cursor["uidMappings"];
    const JsonCursor gids = mount.cursor["gidMappings"];
    const bool own = uids.exists() || gids.exists();
    if (!own && !context_.has_user_namespace()) {
      mount.cursor["options"].Invalid(
          "ids to map: neither the mount nor the container has uidMappings and gidMappings");
    }
    const uint32_t slot = TakeSlot(context_, mount.cursor);
    writer_.Add(Phase::kAfterClone, Opcode::kOpenIdmappedTree, mount.cursor.pointer(),
                {slot, mount.options.recursive ? 1u : 0u, mount.options.map_below ? 1u : 0u,
                 own ? 0u : 1u},
                {writer_.Text(source), own ? writer_.Text(IdMapText(uids)) : PlanRef(),
                 own ? writer_.Text(IdMapText(gids)) : PlanRef()});
    return slot;
  }

  void Remount(const Mount& mount) {
    if (!mount.options.parameters.empty()) {
      const std::vector<std::string> parameters = Parameters(mount);
      writer_.Add(Phase::kSetup, Opcode::kReconfigure, mount.cursor.pointer(),
                  {parameters.size() / 2, 0, mount.options.own.set, mount.options.own.clear,
                   Both(mount.options.below), mount.options.propagation},
                  {writer_.Text(mount.destination), {}, writer_.List(parameters)});
      return;
    }
    writer_.Add(Phase::kSetup, Opcode::kSetMountAttributes, mount.cursor.pointer(),
                {0, 0, mount.options.own.set, mount.options.own.clear, Both(mount.options.below),
                 mount.options.propagation},
                {writer_.Text(mount.destination)});
  }

  void Bind(const Mount& mount) {
    if (mount.source.empty()) return mount.cursor["source"].Invalid("is missing");
    const std::string source = ResolvePath(context_.bundle, mount.source);
    const uint64_t on_proc =
        ProcTargetFlags(mount.cursor["destination"], mount.destination, mount.type, true);
    const SourceCheck check =
        mount.destination == "/proc" ? SourceCheck::kProcfs : SourceCheck::kNone;
    const uint32_t slot =
        mount.maps_ids()
            ? OpenIdmapped(mount, source)
            : AddOpenTree(context_, mount.cursor, source, mount.options.recursive, check);
    MountAttributes own = mount.options.own;
    DeferReadonly(mount, own);
    writer_.Add(Phase::kSetup, Opcode::kAttachTree, mount.cursor.pointer(),
                {slot, kTargetLikeSource | on_proc, own.set, own.clear, Both(mount.options.below),
                 mount.options.propagation},
                {writer_.Text(mount.destination)});
    if (!mount.options.parameters.empty()) {
      // mount(2) ignores them, and so do the runtimes before us.
      context_.warnings.push_back(absl::StrCat(mount.cursor.pointer(),
                                               "/options: ignored, a bind mount has no option ",
                                               mount.options.parameters.front().first));
    }
  }

  void FileSystem(const Mount& mount) {
    if (mount.type.empty()) return mount.cursor["type"].Invalid("is missing");
    if (mount.maps_ids()) mount.cursor.Unsupported("only bind mounts can have their ids mapped");
    uint64_t flags = kTargetDirectory | ProcTargetFlags(mount.cursor["destination"],
                                                        mount.destination, mount.type, false);
    // A symlink in an image must not decide where the kernel's own file systems are.
    if (mount.type == "proc" || mount.type == "sysfs") flags |= kTargetNoSymlinks;
    std::vector<std::string> parameters;
    if (!mount.source.empty()) parameters.insert(parameters.end(), {"source", "=" + mount.source});
    bool has_mode = false;
    for (const auto& [key, value] : mount.options.parameters) {
      parameters.insert(parameters.end(), {key, value});
      has_mode |= key == "mode";
    }
    AddLabel(mount, parameters);
    if (mount.type == "tmpfs" && !has_mode) flags |= kTargetKeepMode;
    if (mount.options.copy_up) {
      if (mount.type != "tmpfs") mount.cursor["options"].Invalid("tmpcopyup is for tmpfs alone");
      flags |= kTargetCopyUp;
    }
    MountAttributes own = mount.options.own;
    DeferReadonly(mount, own);
    writer_.Add(
        Phase::kSetup, Opcode::kMountFs, mount.cursor.pointer(),
        {parameters.size() / 2, flags, own.set, 0, Both(mount.options.below),
         mount.options.propagation},
        {writer_.Text(mount.type), writer_.Text(mount.destination), writer_.List(parameters)});
  }

  // SELinux labels the files of a mount by an option; the kernel's own file systems have labels.
  void AddLabel(const Mount& mount, std::vector<std::string>& parameters) {
    const std::string label = context_.spec["linux"]["mountLabel"].String();
    if (label.empty() || !context_.host.selinux) return;
    for (const std::string_view own : {"proc", "sysfs", "mqueue"}) {
      if (mount.type == own) return;
    }
    parameters.insert(parameters.end(), {"context", "=" + label});
  }

  // The container's own cgroups, bound from the host's mounts: the same in a cgroup namespace and
  // without one, and whatever mixture of hierarchies the host has.
  void Cgroups(const Mount& mount) {
    const std::string& source = mount.cursor.pointer();
    if (input_.cgroups.size() == 1 && input_.cgroups.front().name.empty()) {
      const uint32_t slot =
          AddOpenTree(context_, mount.cursor, input_.cgroups.front().host_path, true);
      writer_.Add(Phase::kSetup, Opcode::kAttachTree, source,
                  {slot, kTargetDirectory, mount.options.own.set, mount.options.own.clear, 0,
                   mount.options.propagation},
                  {writer_.Text(mount.destination)});
      return;
    }
    if (input_.cgroups.empty()) {
      context_.warnings.push_back(
          absl::StrCat(source, ": the container has no cgroups; the directory is empty"));
    }
    const uint64_t attributes = mount.options.own.set & ~uint64_t{MOUNT_ATTR_RDONLY};
    writer_.Add(Phase::kSetup, Opcode::kMountFs, source,
                {3, kTargetDirectory, attributes, 0, 0, mount.options.propagation},
                {writer_.Text("tmpfs"), writer_.Text(mount.destination),
                 writer_.List({"source", "=cgroup", "mode", "=755", "size", "=64k"})});
    for (const CgroupMount& cgroup : input_.cgroups) {
      const uint32_t slot = AddOpenTree(context_, mount.cursor, cgroup.host_path, true);
      const std::string destination = absl::StrCat(mount.destination, "/", cgroup.name);
      writer_.Add(Phase::kSetup, Opcode::kAttachTree, source,
                  {slot, kTargetDirectory, mount.options.own.set, mount.options.own.clear, 0, 0},
                  {writer_.Text(destination)});
      // "cpu,cpuacct" is also found as "cpu" and as "cpuacct".
      if (cgroup.name.find(',') != std::string::npos) LinkControllers(mount, cgroup.name);
    }
    if ((mount.options.own.set & MOUNT_ATTR_RDONLY) != 0) {
      writer_.Add(Phase::kSetup, Opcode::kSetMountAttributes, source, {0, 0, MOUNT_ATTR_RDONLY},
                  {writer_.Text(mount.destination)});
    }
  }

  void LinkControllers(const Mount& mount, const std::string& names) {
    size_t begin = 0;
    while (begin <= names.size()) {
      const size_t end = std::min(names.find(',', begin), names.size());
      writer_.Add(Phase::kSetup, Opcode::kMakeSymlink, mount.cursor.pointer(), {0},
                  {writer_.Text(mount.destination), writer_.Text(names.substr(begin, end - begin)),
                   writer_.Text(names)});
      begin = end + 1;
    }
  }

  CompileContext& context_;
  PlanWriter& writer_;
  const MountPlanInput& input_;
};

// pivot_root(2) wants neither the new root nor its parent mount shared; what the container's root
// shall be is set when it is in place.
void CompileRootfs(CompileContext& context, const MountPlanInput& input) {
  const JsonCursor cursor = context.spec["linux"]["rootfsPropagation"];
  const std::string propagation = cursor.String();
  PlanWriter& writer = context.writer;
  const std::string& source = cursor.pointer();
  const bool own = context.has_own_mount_namespace();
  const bool shared = propagation == "shared" || propagation == "rshared";
  if (own && shared) {
    writer.Add(Phase::kRoot, Opcode::kIsolateParentMount, source, {}, {writer.Text(input.rootfs)});
  } else if (own) {
    const bool is_private = propagation == "private" || propagation == "rprivate";
    writer.Add(Phase::kRoot, Opcode::kSetHostPropagation, propagation.empty() ? "" : source,
               {is_private ? uint64_t{MS_PRIVATE} : uint64_t{MS_SLAVE}});
  }
  writer.Add(Phase::kRoot, Opcode::kAttachRootfs, context.spec["root"]["path"].pointer(),
             {shared || !own ? 1u : 0u}, {writer.Text(input.rootfs)});
}

}  // namespace

void CompileMounts(CompileContext& context, const MountPlanInput& input) {
  CompileRootfs(context, input);
  const JsonCursor label = context.spec["linux"]["mountLabel"];
  if (!label.String().empty() && !context.host.selinux) {
    // Unlike the label of a process it restricts nothing.
    context.warnings.push_back(
        absl::StrCat(label.pointer(), ": left out, SELinux does not run on this host"));
  }
  MountCompiler compiler(context, input);
  std::vector<Mount> mounts;
  for (const JsonCursor& cursor : context.spec["mounts"].Elements()) {
    mounts.push_back(ReadMount(cursor));
  }
  for (const Mount& mount : mounts) compiler.Compile(mount);
}

}  // namespace ocid
