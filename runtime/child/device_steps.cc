// Steps that fill /dev, and those that write to procfs.
//
// Sources: pts(4), ioctl_tty(2), mknod(2), runtime-spec config-linux.md#default-devices.
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "runtime/child/path_walk.h"
#include "runtime/child/setup_protocol.h"
#include "runtime/child/step_machine.h"

namespace ocid {
namespace {

constexpr long kDevptsMagic = 0x1cd1;  // DEVPTS_SUPER_MAGIC
constexpr unsigned kPtmxMajor = 5;
constexpr unsigned kPtmxMinor = 2;

// The directory that r0 names; the last one is kept, since a plan makes many files in /dev.
Outcome OpenDirectory(StepMachine& machine, const PlanStep& step) {
  if (machine.directory.ok() && machine.directory_offset == step.ref[0].offset) return Done();
  WalkOptions options;
  options.missing = MissingPath::kMakeDirectory;
  machine.directory = WalkPath(machine.root.get(), machine.plan.text(step.ref[0]), options);
  machine.directory_offset = step.ref[0].offset;
  return From(machine.directory.ok() ? 0 : -machine.directory.error(), FailureDetail::kTarget);
}

Outcome MakeNode(StepMachine& machine, const PlanStep& step) {
  const Outcome opened = OpenDirectory(machine, step);
  if (!opened.ok()) return opened;
  const int directory = machine.directory.get();
  const char* name = machine.plan.text(step.ref[1]);
  const auto mode = static_cast<mode_t>(step.number[0]);
  const bool is_device = S_ISCHR(mode) || S_ISBLK(mode);
  const dev_t number = is_device ? DeviceNumber(step.number[1], step.number[2]) : 0;
  const long made = raw::Call(SYS_mknodat, directory, name, mode, number);
  if (made == -EEXIST) {
    // An image may bring the node, but not another file under its name.
    struct stat info = {};
    const long known = raw::Call(SYS_newfstatat, directory, name, &info, AT_SYMLINK_NOFOLLOW);
    if (known < 0) return From(known, FailureDetail::kCreateTarget);
    const bool same =
        (info.st_mode & S_IFMT) == (mode & S_IFMT) && (!is_device || info.st_rdev == number);
    return same ? Done() : From(-EEXIST, FailureDetail::kTypeMismatch);
  }
  if (made < 0) return From(made, FailureDetail::kCreateTarget);
  if (step.number[3] == 0 && step.number[4] == 0) return Done();
  return From(
      raw::Call(SYS_fchownat, directory, name, step.number[3], step.number[4], AT_SYMLINK_NOFOLLOW),
      FailureDetail::kUid);
}

Outcome MakeSymlink(StepMachine& machine, const PlanStep& step) {
  const Outcome opened = OpenDirectory(machine, step);
  if (!opened.ok()) return opened;
  const int directory = machine.directory.get();
  const char* name = machine.plan.text(step.ref[1]);
  if (step.number[0] != 0) raw::Call(SYS_unlinkat, directory, name, 0);
  const long made = raw::Call(SYS_symlinkat, machine.plan.text(step.ref[2]), directory, name);
  return made == -EEXIST ? Done() : From(made, FailureDetail::kCreateTarget);
}

Outcome MakeDirectory(StepMachine& machine, const PlanStep& step) {
  WalkOptions options;
  options.missing = MissingPath::kMakeDirectory;
  options.directory_mode = static_cast<uint32_t>(step.number[0]);
  const raw::Fd made = WalkPath(machine.root.get(), machine.plan.text(step.ref[0]), options);
  return From(made.ok() ? 0 : -made.error(), FailureDetail::kCreateTarget);
}

// A pseudo-terminal of the container's own devpts. Its multiplexer is checked to be one: the
// container may have put something else there (CVE-2025-52565).
Outcome OpenPty(int root, raw::Fd* master, raw::Fd* terminal) {
  *master = raw::Fd(OpenInRoot(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK,
                               /*no_symlinks=*/true));
  if (!master->ok()) return From(-master->error(), FailureDetail::kPty);
  struct statfs fs = {};
  struct stat info = {};
  long result = raw::Call(SYS_fstatfs, master->get(), &fs);
  if (result >= 0) result = raw::Call(SYS_fstat, master->get(), &info);
  if (result < 0) return From(result, FailureDetail::kPty);
  if (fs.f_type != kDevptsMagic || !S_ISCHR(info.st_mode) ||
      info.st_rdev != DeviceNumber(kPtmxMajor, kPtmxMinor)) {
    return {ENODEV, FailureDetail::kTypeMismatch, 0};
  }
  // O_NONBLOCK was for a file that is no multiplexer; the master itself blocks.
  result = raw::Call(SYS_fcntl, master->get(), F_SETFL, O_RDWR);
  const int unlocked = 0;
  if (result >= 0) result = raw::Call(SYS_ioctl, master->get(), TIOCSPTLCK, &unlocked);
  if (result < 0) return From(result, FailureDetail::kPty);
  *terminal =
      raw::Fd(raw::Call(SYS_ioctl, master->get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  return From(terminal->ok() ? 0 : -terminal->error(), FailureDetail::kPty);
}

Outcome BindConsole(int root, int terminal) {
  WalkOptions options;
  options.missing = MissingPath::kMakeFile;
  // A link could lead onto procfs, which is not hidden yet (CVE-2025-52565).
  options.no_symlinks = true;
  const raw::Fd target = WalkPath(root, "/dev/console", options);
  if (!target.ok()) return From(-target.error(), FailureDetail::kTarget);
  const raw::Fd tree(
      raw::Call(SYS_open_tree, terminal, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
  if (!tree.ok()) return From(-tree.error(), FailureDetail::kMount);
  return From(raw::Call(SYS_move_mount, tree.get(), "", target.get(), "",
                        MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH),
              FailureDetail::kAttach);
}

Outcome MakeConsole(StepMachine& machine, const PlanStep& step) {
  raw::Fd master;
  raw::Fd terminal;
  const Outcome opened = OpenPty(machine.root.get(), &master, &terminal);
  if (!opened.ok()) return opened;
  if (step.number[0] != 0 || step.number[1] != 0) {
    winsize size = {};
    size.ws_row = static_cast<unsigned short>(step.number[0]);
    size.ws_col = static_cast<unsigned short>(step.number[1]);
    const long sized = raw::Call(SYS_ioctl, terminal.get(), TIOCSWINSZ, &size);
    if (sized < 0) return From(sized, FailureDetail::kPty);
  }
  const long owned = raw::Call(SYS_fchown, terminal.get(), step.number[2], -1);
  if (owned < 0) return From(owned, FailureDetail::kUid);
  if (step.number[3] != 0) {
    const Outcome bound = BindConsole(machine.root.get(), terminal.get());
    if (!bound.ok()) return bound;
  }
  long result = raw::Call(SYS_ioctl, terminal.get(), TIOCSCTTY, 0);
  if (result < 0) return From(result, FailureDetail::kControllingTerminal);
  for (int fd = 0; fd < 3 && result >= 0; ++fd) {
    result = raw::Call(SYS_dup3, terminal.get(), fd, 0);
  }
  if (result >= 0) {
    result = SendMessage(machine.socket, {MessageKind::kConsole, 0, {}}, master.get());
  }
  return From(result, FailureDetail::kPty);
}

// A procfs of the container's pid namespace that is mounted nowhere, so that nobody can put
// anything over its files (CVE-2025-52881).
Outcome OpenProc(StepMachine& machine) {
  if (machine.proc.ok()) return Done();  // kMountFs made one
  const raw::Fd context(raw::Call(SYS_fsopen, "proc", FSOPEN_CLOEXEC));
  if (!context.ok()) return From(-context.error(), FailureDetail::kOpenFs);
  const long created =
      raw::Call(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0);
  if (created < 0) return From(created, FailureDetail::kMount);
  machine.proc = raw::Fd(raw::Call(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, 0));
  return From(machine.proc.ok() ? 0 : -machine.proc.error(), FailureDetail::kMount);
}

long WriteAll(int fd, const char* text, size_t size) {
  const long written = raw::Retry(SYS_write, fd, text, size);
  if (written < 0) return written;
  return static_cast<size_t>(written) == size ? 0 : -EIO;
}

Outcome WriteSysctl(StepMachine& machine, const PlanStep& step) {
  open_how how = {};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  const raw::Fd base(raw::Call(SYS_openat2, machine.proc.get(), "sys", &how, sizeof(how)));
  if (!base.ok()) return From(-base.error(), FailureDetail::kTarget);
  how.flags = O_WRONLY | O_CLOEXEC;
  const raw::Fd file(
      raw::Call(SYS_openat2, base.get(), machine.plan.text(step.ref[0]), &how, sizeof(how)));
  if (!file.ok()) return From(-file.error(), FailureDetail::kTarget);
  return From(WriteAll(file.get(), machine.plan.text(step.ref[1]), step.ref[1].size));
}

// Through a procfs of its own again: the label is for the program alone, and what was open before
// the gate is closed by now.
Outcome SetExecLabel(StepMachine& machine, const PlanStep& step) {
  const Outcome opened = OpenProc(machine);
  if (!opened.ok()) return opened;
  open_how how = {};
  how.flags = O_WRONLY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  char path[128] = "self/attr/";
  const char* name = machine.plan.text(step.ref[0]);
  const size_t size = strlen(name);
  const size_t used = strlen(path);
  if (used + size >= sizeof(path)) return From(-ENAMETOOLONG);
  memcpy(path + used, name, size + 1);
  const raw::Fd file(raw::Call(SYS_openat2, machine.proc.get(), path, &how, sizeof(how)));
  const int error = file.ok() ? 0 : file.error();
  machine.proc.reset();
  if (error != 0) return From(-error, FailureDetail::kTarget);
  return From(WriteAll(file.get(), machine.plan.text(step.ref[1]), step.ref[1].size));
}

}  // namespace

// The host's procfs: trusted, and only before the container's mounts cover it.
long WriteProcSelf(const PlanView& plan, const PlanStep& step) {
  const raw::Fd self(
      raw::Call(SYS_openat, AT_FDCWD, "/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!self.ok()) return -self.error();
  struct statfs fs = {};
  const long known = raw::Call(SYS_fstatfs, self.get(), &fs);
  if (known < 0) return known;
  if (fs.f_type != PROC_SUPER_MAGIC) return -ENOENT;
  const raw::Fd file(
      raw::Call(SYS_openat, self.get(), plan.text(step.ref[0]), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.ok()) return -file.error();
  return WriteAll(file.get(), plan.text(step.ref[1]), step.ref[1].size);
}

Outcome ExecuteDeviceStep(StepMachine& machine, const PlanStep& step) {
  switch (static_cast<Opcode>(step.opcode)) {
    case Opcode::kMakeDirectory:
      return MakeDirectory(machine, step);
    case Opcode::kMakeSymlink:
      return MakeSymlink(machine, step);
    case Opcode::kMakeNode:
      return MakeNode(machine, step);
    case Opcode::kMakeConsole:
      return MakeConsole(machine, step);
    case Opcode::kOpenProc:
      return OpenProc(machine);
    case Opcode::kWriteSysctl:
      return WriteSysctl(machine, step);
    case Opcode::kSetExecLabel:
      return SetExecLabel(machine, step);
    case Opcode::kWriteProcSelf:
      return From(WriteProcSelf(machine.plan, step));
    default:
      return From(-ENOSYS);
  }
}

}  // namespace ocid
