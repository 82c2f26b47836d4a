// Steps that build the container's file system. The new mount API throughout: a mount is made and
// given its attributes while it is detached, and then moved onto a descriptor, so that no path is
// looked up twice.
//
// Sources: open_tree(2), move_mount(2), fsopen(2), fsconfig(2), fsmount(2), mount_setattr(2),
// pivot_root(2).
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "runtime/child/copy_tree.h"
#include "runtime/child/path_walk.h"
#include "runtime/child/step_machine.h"

namespace ocid {
namespace {

constexpr uint64_t kPropagationTypes = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE;

long SetAttributes(int fd, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation) {
  mount_attr attributes = {};
  attributes.attr_set = set;
  attributes.attr_clr = clear;
  attributes.propagation = propagation & kPropagationTypes;
  return raw::Call(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | flags, &attributes,
                   sizeof(attributes));
}

// Numbers n2..n5 of a step, as plan_format.h lays them out.
long ApplyAttributes(int fd, const PlanStep& step) {
  const uint64_t recursive_set = step.number[4] & 0xffffffff;
  const uint64_t recursive_clear = step.number[4] >> 32;
  const uint64_t propagation = step.number[5];
  const bool propagates_below = (propagation & MS_REC) != 0;
  long result = 0;
  if (recursive_set != 0 || recursive_clear != 0 || propagates_below) {
    result = SetAttributes(fd, AT_RECURSIVE, recursive_set, recursive_clear,
                           propagates_below ? propagation : 0);
  }
  const uint64_t own = propagates_below ? 0 : propagation;
  if (result >= 0 && (step.number[2] != 0 || step.number[3] != 0 || own != 0)) {
    result = SetAttributes(fd, 0, step.number[2], step.number[3], own);
  }
  return result;
}

bool IsProcfs(int fd) {
  struct statfs info = {};
  return raw::Call(SYS_fstatfs, fd, &info) >= 0 && info.f_type == PROC_SUPER_MAGIC;
}

bool IsDirectory(int fd) {
  struct stat info = {};
  return raw::Call(SYS_fstat, fd, &info) >= 0 && S_ISDIR(info.st_mode);
}

long OpenTree(int directory, const char* path, unsigned flags) {
  return raw::Call(SYS_open_tree, directory, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);
}

long Attach(int tree, int target) {
  return raw::Call(SYS_move_mount, tree, "", target, "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

// Resolves the destination of a mount and refuses one on procfs: a mount there that the plan does
// not mean to be there hides or fakes what labels, limits and masks are written through
// (CVE-2019-16884, CVE-2019-19921).
Outcome WalkTarget(StepMachine& machine, const char* path, uint64_t flags, raw::Fd* target) {
  WalkOptions options;
  options.no_symlinks = (flags & kTargetNoSymlinks) != 0;
  if ((flags & kTargetDirectory) != 0) options.missing = MissingPath::kMakeDirectory;
  if ((flags & kTargetFile) != 0) options.missing = MissingPath::kMakeFile;
  *target = WalkPath(machine.root.get(), path, options);
  if (!target->ok()) return From(-target->error(), FailureDetail::kTarget);
  if ((flags & kTargetOnProcfs) == 0 && IsProcfs(target->get())) {
    return {EPERM, FailureDetail::kTargetOnProcfs, 0};
  }
  return Done();
}

Outcome AttachTo(StepMachine& machine, int tree, const raw::Fd& target) {
  // What was resolved before may now lie under this mount.
  machine.directory.reset();
  machine.directory_offset = 0;
  return From(Attach(tree, target.get()), FailureDetail::kAttach);
}

Outcome SetHostPropagation(const PlanStep& step) {
  mount_attr attributes = {};
  attributes.propagation = step.number[0] & kPropagationTypes;
  return From(
      raw::Call(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &attributes, sizeof(attributes)));
}

// pivot_root(2) refuses a new root whose parent mount is shared. Climbs to the root of the mount
// that holds the path, with statx(2) in place of a walk through /proc/self/mountinfo.
Outcome IsolateParentMount(const char* path) {
  raw::Fd current(raw::Call(SYS_openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC));
  for (;;) {
    if (!current.ok()) return From(-current.error(), FailureDetail::kTarget);
    struct statx info = {};
    const long result = raw::Call(SYS_statx, current.get(), "", AT_EMPTY_PATH, 0, &info);
    if (result < 0) return From(result, FailureDetail::kTarget);
    if ((info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) break;
    current = raw::Fd(raw::Call(SYS_openat, current.get(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  return From(SetAttributes(current.get(), 0, 0, 0, MS_PRIVATE), FailureDetail::kAttributes);
}

Outcome AttachRootfs(StepMachine& machine, const char* path, bool make_private) {
  const raw::Fd target(raw::Call(SYS_openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!target.ok()) return From(-target.error(), FailureDetail::kSource);
  raw::Fd tree(OpenTree(target.get(), "", AT_EMPTY_PATH | AT_RECURSIVE));
  if (!tree.ok()) return From(-tree.error(), FailureDetail::kMount);
  if (make_private) {
    const long changed = SetAttributes(tree.get(), 0, 0, 0, MS_PRIVATE);
    if (changed < 0) return From(changed, FailureDetail::kAttributes);
  }
  const long attached = Attach(tree.get(), target.get());
  if (attached < 0) return From(attached, FailureDetail::kAttach);
  machine.root = static_cast<raw::Fd&&>(tree);
  return Done();
}

Outcome OpenSourceTree(StepMachine& machine, const PlanStep& step) {
  const unsigned flags = step.number[1] != 0 ? AT_RECURSIVE : 0;
  raw::Fd tree(OpenTree(AT_FDCWD, machine.plan.text(step.ref[0]), flags));
  if (!tree.ok()) return From(-tree.error(), FailureDetail::kSource);
  if (static_cast<SourceCheck>(step.number[2]) == SourceCheck::kProcfs && !IsProcfs(tree.get())) {
    return {EINVAL, FailureDetail::kTypeMismatch, 0};
  }
  int& slot = machine.slot[step.number[0]];
  raw::Close(slot);
  slot = tree.release();
  return Done();
}

Outcome AttachTree(StepMachine& machine, const PlanStep& step) {
  int& slot = machine.slot[step.number[0]];
  const raw::Fd tree(slot);
  slot = -1;
  const long changed = ApplyAttributes(tree.get(), step);
  if (changed < 0) return From(changed, FailureDetail::kAttributes);
  uint64_t flags = step.number[1];
  if ((flags & kTargetLikeSource) != 0) {
    flags |= IsDirectory(tree.get()) ? kTargetDirectory : kTargetFile;
  }
  raw::Fd target;
  const Outcome walked = WalkTarget(machine, machine.plan.text(step.ref[0]), flags, &target);
  if (!walked.ok()) return walked;
  return AttachTo(machine, tree.get(), target);
}

// "mode" as the directory that the mount will cover has it; a tmpfs over /tmp stays open to all.
class InheritedMode {
 public:
  void Read(int directory) {
    struct stat info = {};
    if (raw::Call(SYS_fstat, directory, &info) < 0) return;
    for (int digit = 0; digit < 4; ++digit) {
      text_[digit] = static_cast<char>('0' + (info.st_mode >> (9 - 3 * digit) & 7));
    }
  }
  const char* text() const { return text_[0] == '\0' ? nullptr : text_; }

 private:
  char text_[5] = {};
};

// Values are marked by a leading '='; a key without one is a flag.
Outcome Configure(int context, const PlanView& plan, PlanRef list, uint64_t count) {
  const char* text = plan.text(list);
  const char* const end = text + list.size;
  for (uint32_t i = 0; i < count && text < end; ++i) {
    const char* key = text;
    const char* value = key + strlen(key) + 1;
    if (value > end) return {EINVAL, FailureDetail::kParameter, i};
    text = value + strlen(value) + 1;
    const long result =
        *value == '=' ? raw::Call(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value + 1, 0)
                      : raw::Call(SYS_fsconfig, context, FSCONFIG_SET_FLAG, key, nullptr, 0);
    if (result < 0) return From(result, FailureDetail::kParameter, i);
  }
  return Done();
}

Outcome MakeMount(const PlanView& plan, const char* type, PlanRef list, uint64_t count,
                  uint64_t attributes, const char* mode, raw::Fd* mount) {
  const raw::Fd context(raw::Call(SYS_fsopen, type, FSOPEN_CLOEXEC));
  if (!context.ok()) return From(-context.error(), FailureDetail::kOpenFs);
  const Outcome configured = Configure(context.get(), plan, list, count);
  if (!configured.ok()) return configured;
  if (mode != nullptr) {
    const long set = raw::Call(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, "mode", mode, 0);
    if (set < 0) return From(set, FailureDetail::kMount);
  }
  const long created =
      raw::Call(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0);
  if (created < 0) return From(created, FailureDetail::kMount);
  *mount = raw::Fd(raw::Call(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, attributes));
  return From(mount->ok() ? 0 : -mount->error(), FailureDetail::kMount);
}

Outcome MountFs(StepMachine& machine, const PlanStep& step) {
  const PlanView& plan = machine.plan;
  const char* path = plan.text(step.ref[1]);
  InheritedMode mode;
  if ((step.number[1] & kTargetKeepMode) != 0) {
    const raw::Fd covered = WalkPath(machine.root.get(), path, {});
    if (covered.ok()) mode.Read(covered.get());
  }
  raw::Fd target;
  const Outcome walked = WalkTarget(machine, path, step.number[1], &target);
  if (!walked.ok()) return walked;
  raw::Fd mount;
  // Copying into it comes first, and then what may forbid it.
  const bool copies = (step.number[1] & kTargetCopyUp) != 0;
  const Outcome made = MakeMount(plan, plan.text(step.ref[0]), step.ref[2], step.number[0],
                                 copies ? 0 : step.number[2], mode.text(), &mount);
  if (!made.ok()) return made;
  if (copies) {
    long copied = CopyTree(target.get(), mount.get());
    if (copied >= 0) copied = SetAttributes(mount.get(), 0, step.number[2], MOUNT_ATTR__ATIME, 0);
    if (copied < 0) return From(copied, FailureDetail::kCopyUp);
  }
  PlanStep rest = step;  // n2 went into fsmount(2)
  rest.number[2] = 0;
  rest.number[3] = 0;
  const long changed = ApplyAttributes(mount.get(), rest);
  if (changed < 0) return From(changed, FailureDetail::kAttributes);
  const Outcome attached = AttachTo(machine, mount.get(), target);
  // kOpenProc can do with this one, which spares an unmount and its wait for all CPUs. Its
  // descriptor reaches the files themselves, whatever is mounted over them; a procfs with options
  // may hide some.
  const bool plain = step.number[0] <= 1 && (step.number[2] & MOUNT_ATTR_RDONLY) == 0;
  if (attached.ok() && plain && strcmp(plan.text(step.ref[0]), "proc") == 0) {
    machine.proc = static_cast<raw::Fd&&>(mount);
  }
  return attached;
}

// What mount(8) calls remount: other options for the file system itself.
Outcome Reconfigure(StepMachine& machine, const PlanStep& step) {
  const raw::Fd target = WalkPath(machine.root.get(), machine.plan.text(step.ref[0]), {});
  if (!target.ok()) return From(-target.error(), FailureDetail::kTarget);
  const raw::Fd context(
      raw::Call(SYS_fspick, target.get(), "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH));
  if (!context.ok()) return From(-context.error(), FailureDetail::kOpenFs);
  const Outcome configured =
      Configure(context.get(), machine.plan, step.ref[2], step.number[0]);
  if (!configured.ok()) return configured;
  const long done =
      raw::Call(SYS_fsconfig, context.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0);
  if (done < 0) return From(done, FailureDetail::kMount);
  return From(ApplyAttributes(target.get(), step), FailureDetail::kAttributes);
}

Outcome SetMountAttributes(StepMachine& machine, const PlanStep& step) {
  const raw::Fd target = WalkPath(machine.root.get(), machine.plan.text(step.ref[0]), {});
  if (!target.ok()) return From(-target.error(), FailureDetail::kTarget);
  return From(ApplyAttributes(target.get(), step), FailureDetail::kAttributes);
}

// Nothing to hide is no error: the lists name files of every kernel there is.
bool IsMissing(const raw::Fd& target) {
  return target.error() == ENOENT || target.error() == ENOTDIR;
}

Outcome MaskDirectory(StepMachine& machine, int target) {
  if (machine.empty_directory.ok()) {
    const raw::Fd copy(OpenTree(machine.empty_directory.get(), "", AT_EMPTY_PATH));
    if (!copy.ok()) return From(-copy.error(), FailureDetail::kMount);
    return From(Attach(copy.get(), target), FailureDetail::kAttach);
  }
  raw::Fd mount;
  const Outcome made =
      MakeMount(machine.plan, "tmpfs", {}, 0,
                MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
                nullptr, &mount);
  if (!made.ok()) return made;
  const long attached = Attach(mount.get(), target);
  if (attached < 0) return From(attached, FailureDetail::kAttach);
  machine.empty_directory = static_cast<raw::Fd&&>(mount);
  return Done();
}

// The null device of the host and not the container's: that one can be swapped for a symlink while
// we look (CVE-2025-31133).
Outcome MaskFile(int target) {
  const raw::Fd tree(OpenTree(AT_FDCWD, "/dev/null", AT_SYMLINK_NOFOLLOW));
  if (!tree.ok()) return From(-tree.error(), FailureDetail::kSource);
  struct stat info = {};
  const long known = raw::Call(SYS_fstat, tree.get(), &info);
  if (known < 0) return From(known, FailureDetail::kSource);
  if (!S_ISCHR(info.st_mode) || info.st_rdev != DeviceNumber(1, 3)) {
    return {EINVAL, FailureDetail::kTypeMismatch, 0};
  }
  return From(Attach(tree.get(), target), FailureDetail::kAttach);
}

Outcome MaskPath(StepMachine& machine, const char* path) {
  const raw::Fd target = WalkPath(machine.root.get(), path, {});
  if (IsMissing(target)) return Done();
  if (!target.ok()) return From(-target.error(), FailureDetail::kTarget);
  return IsDirectory(target.get()) ? MaskDirectory(machine, target.get()) : MaskFile(target.get());
}

Outcome ReadonlyPath(StepMachine& machine, const char* path) {
  const raw::Fd target = WalkPath(machine.root.get(), path, {});
  if (IsMissing(target)) return Done();
  if (!target.ok()) return From(-target.error(), FailureDetail::kTarget);
  const raw::Fd tree(OpenTree(target.get(), "", AT_EMPTY_PATH | AT_RECURSIVE));
  if (!tree.ok()) return From(-tree.error(), FailureDetail::kMount);
  const long changed = SetAttributes(tree.get(), AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0, 0);
  if (changed < 0) return From(changed, FailureDetail::kAttributes);
  return From(Attach(tree.get(), target.get()), FailureDetail::kAttach);
}

Outcome PivotRoot(StepMachine& machine) {
  const raw::Fd old_root(raw::Call(SYS_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!old_root.ok()) return From(-old_root.error());
  long result = raw::Call(SYS_fchdir, machine.root.get());
  // The old root lands on top of the new one, where "." still leads to it (pivot_root(2), "NOTES").
  if (result >= 0) result = raw::Call(SYS_pivot_root, ".", ".");
  // Unmounting it must not reach the host's mounts.
  if (result >= 0) result = SetAttributes(old_root.get(), AT_RECURSIVE, 0, 0, MS_SLAVE);
  if (result >= 0) result = raw::Call(SYS_umount2, ".", 2 /* MNT_DETACH */);
  if (result >= 0) result = raw::Call(SYS_chdir, "/");
  return From(result);
}

Outcome ChangeRoot(StepMachine& machine) {
  long result = raw::Call(SYS_fchdir, machine.root.get());
  if (result >= 0) result = raw::Call(SYS_chroot, ".");
  if (result >= 0) result = raw::Call(SYS_chdir, "/");
  return From(result);
}

}  // namespace

Outcome ExecuteMountStep(StepMachine& machine, const PlanStep& step) {
  const char* path = machine.plan.text(step.ref[0]);
  switch (static_cast<Opcode>(step.opcode)) {
    case Opcode::kSetHostPropagation:
      return SetHostPropagation(step);
    case Opcode::kIsolateParentMount:
      return IsolateParentMount(path);
    case Opcode::kAttachRootfs:
      return AttachRootfs(machine, path, step.number[0] != 0);
    case Opcode::kOpenTree:
      return OpenSourceTree(machine, step);
    case Opcode::kAttachTree:
      return AttachTree(machine, step);
    case Opcode::kMountFs:
      return MountFs(machine, step);
    case Opcode::kSetMountAttributes:
      return SetMountAttributes(machine, step);
    case Opcode::kReconfigure:
      return Reconfigure(machine, step);
    case Opcode::kMaskPath:
      return MaskPath(machine, path);
    case Opcode::kReadonlyPath:
      return ReadonlyPath(machine, path);
    case Opcode::kPivotRoot:
      return PivotRoot(machine);
    case Opcode::kChangeRoot:
      return ChangeRoot(machine);
    case Opcode::kSetRootPropagation:
      return From(SetAttributes(machine.root.get(), 0, 0, 0, step.number[0]));
    default:
      return From(-ENOSYS);
  }
}

}  // namespace ocid
