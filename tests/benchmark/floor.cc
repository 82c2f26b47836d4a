#include "tests/benchmark/floor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ocid {
namespace {

[[noreturn]] void ExecTrue() {
  char program[] = "/bin/true";
  char* const argv[] = {program, nullptr};
  char* const envp[] = {nullptr};
  execve(program, argv, envp);
  _exit(127);
}

[[noreturn]] void RunChild(const char* rootfs) {
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount(rootfs, rootfs, nullptr, MS_BIND | MS_REC, nullptr) != 0 || chdir(rootfs) != 0 ||
      syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", MNT_DETACH) != 0 ||
      mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
    _exit(126);
  }
  ExecTrue();
}

bool EndedWell(pid_t pid) {
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return false;
  if (status == 0) return true;
  errno = ECHILD;
  return false;
}

}  // namespace

bool RunFloor(const std::string& rootfs) {
  clone_args args = {};
  args.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
  args.exit_signal = SIGCHLD;
  const long pid = syscall(SYS_clone3, &args, sizeof(args));
  if (pid < 0) return false;
  if (pid == 0) RunChild(rootfs.c_str());
  return EndedWell(static_cast<pid_t>(pid));
}

bool RunExecFloor(pid_t pid) {
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  const int own_namespace = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
  bool ok = pidfd >= 0 && own_namespace >= 0 && setns(pidfd, CLONE_NEWPID) == 0;
  if (ok) {
    const pid_t child = fork();
    if (child == 0) {
      if (setns(pidfd, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0) _exit(126);
      ExecTrue();
    }
    const bool restored = setns(own_namespace, CLONE_NEWPID) == 0;
    ok = child > 0 && EndedWell(child) && restored;
  }
  const int error = errno;
  if (pidfd >= 0) close(pidfd);
  if (own_namespace >= 0) close(own_namespace);
  errno = error;
  return ok;
}

}  // namespace ocid
