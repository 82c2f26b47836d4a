// Devices, linux.maskedPaths, linux.readonlyPaths, root.readonly, hostname, domainname,
// linux.sysctl, and the way into the root.
//
// Source: runtime-spec config-linux.md.
#include <linux/mount.h>
#include <linux/sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "runtime/plan/compile_context.h"
#include "runtime/plan/sysctl_path.h"

namespace ocid {
namespace {

struct Device {
  std::string source;  // JSON pointer
  std::string path;
  uint64_t mode = S_IFCHR | 0666;
  uint64_t major = 0;
  uint64_t minor = 0;
  uint64_t uid = 0;
  uint64_t gid = 0;
};

std::vector<Device> DefaultDevices() {
  const auto device = [](const char* path, uint64_t major, uint64_t minor) {
    Device result;
    result.path = path;
    result.major = major;
    result.minor = minor;
    return result;
  };
  return {device("/dev/null", 1, 3), device("/dev/zero", 1, 5),   device("/dev/full", 1, 7),
          device("/dev/tty", 5, 0),  device("/dev/random", 1, 8), device("/dev/urandom", 1, 9)};
}

uint64_t ReadDeviceType(const JsonCursor& type) {
  const std::string name = type.String();
  if (name == "c" || name == "u") return S_IFCHR;
  if (name == "b") return S_IFBLK;
  if (name == "p") return S_IFIFO;
  type.Invalid("must be c, b, u or p");
  return S_IFCHR;
}

Device ReadDevice(const JsonCursor& cursor) {
  Device device;
  device.source = cursor.pointer();
  device.path = CleanPlanPath(cursor["path"].String());
  if (device.path == "/") cursor["path"].Invalid("must name a file");
  const uint64_t type = ReadDeviceType(cursor["type"]);
  device.mode = type | cursor["fileMode"].Unsigned(0666, 07777);
  if (type != S_IFIFO) {
    if (!cursor["major"].exists()) cursor["major"].Invalid("is missing");
    if (!cursor["minor"].exists()) cursor["minor"].Invalid("is missing");
  }
  // The kernel's own sizes: 12 and 20 bits.
  device.major = cursor["major"].Unsigned(0, 0xfff);
  device.minor = cursor["minor"].Unsigned(0, 0xfffff);
  device.uid = cursor["uid"].Unsigned(0, UINT32_MAX - 1);
  device.gid = cursor["gid"].Unsigned(0, UINT32_MAX - 1);
  return device;
}

std::string Directory(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string FileName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool DevIsBound(const JsonCursor& mounts) {
  for (const JsonCursor& mount : mounts.Elements()) {
    if (CleanPlanPath(mount["destination"].String()) != "/dev") continue;
    if (mount["type"].String() == "bind") return true;
    for (const std::string& option : mount["options"].Strings()) {
      if (option == "bind" || option == "rbind") return true;
    }
  }
  return false;
}

void AddDevice(CompileContext& context, const JsonCursor& where, const Device& device) {
  PlanWriter& writer = context.writer;
  if (context.binds_devices()) {
    // No user namespace may make device nodes: the host's node of that path is bound.
    const uint32_t slot = AddOpenTree(context, where, device.path, /*recursive=*/false);
    writer.Add(Phase::kSetup, Opcode::kAttachTree, device.source, {slot, kTargetFile},
               {writer.Text(device.path)});
    return;
  }
  writer.Add(Phase::kSetup, Opcode::kMakeNode, device.source,
             {device.mode, device.major, device.minor, device.uid, device.gid},
             {writer.Text(Directory(device.path)), writer.Text(FileName(device.path))});
}

// ---- sysctl

constexpr std::string_view kIpcSysctls[] = {
    "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem",
    "kernel/shmall", "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced",
};

// The namespace that the setting belongs to; 0 if it is the whole machine's.
uint64_t SysctlNamespace(const std::string& path) {
  if (path.rfind("net/", 0) == 0) return CLONE_NEWNET;
  if (path.rfind("fs/mqueue/", 0) == 0) return CLONE_NEWIPC;
  const bool is_ipc =
      std::find(std::begin(kIpcSysctls), std::end(kIpcSysctls), path) != std::end(kIpcSysctls);
  if (is_ipc) return CLONE_NEWIPC;
  if (path == "kernel/domainname" || path == "kernel/hostname") return CLONE_NEWUTS;
  return 0;
}

bool IsSysctlPath(const std::string& path) {
  const auto allowed = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.' || c == '/' || c == ':' ||
           c == '@';
  };
  if (!std::all_of(path.begin(), path.end(), allowed)) return false;
  return ("/" + path + "/").find("/../") == std::string::npos &&
         path.find("//") == std::string::npos;
}

void CompileSysctls(CompileContext& context) {
  PlanWriter& writer = context.writer;
  const JsonCursor sysctls = context.spec["linux"]["sysctl"];
  bool proc_is_open = false;
  for (const auto& [name, value] : sysctls.Members()) {
    const std::string path = SysctlPath(name);
    const uint64_t wanted = SysctlNamespace(path);
    const std::string text = value.String();
    if (!IsSysctlPath(path) || wanted == 0) {
      value.Invalid("is no setting that belongs to a namespace");
    } else if ((context.named_namespaces & wanted) == 0) {
      value.Invalid("belongs to a namespace that the container shares with the host");
    } else if (text.find('\n') != std::string::npos) {
      value.Invalid("must be one line");
    }
    if (!proc_is_open) writer.Add(Phase::kSetup, Opcode::kOpenProc, sysctls.pointer());
    proc_is_open = true;
    writer.Add(Phase::kSetup, Opcode::kWriteSysctl, value.pointer(), {},
               {writer.Text(path), writer.Text(text)});
  }
}

void CompileUtsName(CompileContext& context, std::string_view member, Opcode opcode) {
  constexpr size_t kMaxNameBytes = 64;  // __NEW_UTS_LEN
  const JsonCursor cursor = context.spec[member];
  const std::string name = cursor.String();
  if (name.empty()) return;
  if ((context.named_namespaces & CLONE_NEWUTS) == 0) cursor.Invalid("needs a uts namespace");
  if (name.size() > kMaxNameBytes) cursor.Invalid("must not be longer than 64 bytes");
  context.writer.Add(Phase::kSetup, opcode, cursor.pointer(), {}, {context.writer.Text(name)});
}

void CompileHiddenPaths(CompileContext& context, std::string_view member, Opcode opcode) {
  for (const JsonCursor& element : context.spec["linux"][member].Elements()) {
    const std::string path = element.String();
    if (path.empty() || path.front() != '/') {
      element.Invalid("must be absolute");
      continue;
    }
    context.writer.Add(Phase::kEnter, opcode, element.pointer(), {},
                       {context.writer.Text(CleanPlanPath(path))});
  }
}

uint64_t RootPropagation(const JsonCursor& cursor) {
  const std::string name = cursor.String();
  if (name.empty()) return 0;
  if (name == "shared" || name == "rshared") return MS_SHARED;
  if (name == "slave" || name == "rslave") return MS_SLAVE;
  if (name == "private" || name == "rprivate") return MS_PRIVATE;
  if (name == "unbindable" || name == "runbindable") return MS_UNBINDABLE;
  cursor.Invalid("must be shared, slave, private or unbindable");
  return 0;
}

}  // namespace

void CompileDevices(CompileContext& context) {
  const JsonCursor list = context.spec["linux"]["devices"];
  std::vector<Device> devices = DefaultDevices();
  const bool bound = DevIsBound(context.spec["mounts"]);
  if (bound) devices.clear();
  for (const JsonCursor& cursor : list.Elements()) {
    Device device = ReadDevice(cursor);
    const auto same = std::find_if(devices.begin(), devices.end(), [&device](const Device& other) {
      return other.path == device.path;
    });
    if (same != devices.end()) {
      *same = std::move(device);
    } else if (!bound) {
      devices.push_back(std::move(device));
    } else if (!IsBeneath(device.path, "/dev")) {
      devices.push_back(std::move(device));
    }
  }
  for (const Device& device : devices) AddDevice(context, list, device);
  if (bound) return;
  PlanWriter& writer = context.writer;
  const auto link = [&writer](std::string_view name, std::string_view target, bool replace) {
    writer.Add(Phase::kSetup, Opcode::kMakeSymlink, "", {replace ? 1u : 0u},
               {writer.Text("/dev"), writer.Text(name), writer.Text(target)});
  };
  link("fd", "/proc/self/fd", false);
  link("stdin", "/proc/self/fd/0", false);
  link("stdout", "/proc/self/fd/1", false);
  link("stderr", "/proc/self/fd/2", false);
  link("ptmx", "pts/ptmx", true);
}

void CompileKernelSettings(CompileContext& context) {
  CompileUtsName(context, "hostname", Opcode::kSetHostname);
  CompileUtsName(context, "domainname", Opcode::kSetDomainname);
  CompileSysctls(context);
}

void CompileEnterRoot(CompileContext& context) {
  PlanWriter& writer = context.writer;
  CompileHiddenPaths(context, "readonlyPaths", Opcode::kReadonlyPath);
  CompileHiddenPaths(context, "maskedPaths", Opcode::kMaskPath);
  const JsonCursor readonly = context.spec["root"]["readonly"];
  if (readonly.Bool()) {
    writer.Add(Phase::kEnter, Opcode::kSetMountAttributes, readonly.pointer(),
               {0, 0, MOUNT_ATTR_RDONLY}, {writer.Text("/")});
  }
  writer.Add(Phase::kEnter,
             context.has_own_mount_namespace() ? Opcode::kPivotRoot : Opcode::kChangeRoot, "");
  const JsonCursor propagation = context.spec["linux"]["rootfsPropagation"];
  const uint64_t type = RootPropagation(propagation);
  if (type != 0) {
    writer.Add(Phase::kEnter, Opcode::kSetRootPropagation, propagation.pointer(), {type});
  }
}

}  // namespace ocid
