// ocid-supervisor: see supervisor.h. Started by runtime/host only, with the descriptors of
// DonatedFd, every signal blocked and a session of its own; argv[1] is the container's id, for
// ps(1).
//
// Every signal stays blocked: what a terminal or a service manager sends to the daemon's group is
// not meant for this process, and SIGCHLD is read from a signalfd. A child gets an empty mask from
// the launcher.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <new>

#include "runtime/base/unique_fd.h"
#include "runtime/supervisor/control_protocol.h"
#include "runtime/supervisor/supervisor.h"

namespace ocid {
namespace {

bool IsSocket(int fd) {
  int type = 0;
  socklen_t size = sizeof(type);
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

void CloseOnExec(int fd) { fcntl(fd, F_SETFD, FD_CLOEXEC); }

int Main() {
  if (!IsSocket(kControlFd) || !IsSocket(kListenFd)) {
    constexpr char kUsage[] = "ocid-supervisor is started by ocid, not by hand\n";
    const ssize_t ignored = write(STDERR_FILENO, kUsage, sizeof(kUsage) - 1);
    return ignored > 0 ? 64 : EXIT_FAILURE;
  }
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  prctl(PR_SET_NAME, "ocid-supervisor");
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (const int fd : {kControlFd, kListenFd, kContainerDirFd}) CloseOnExec(fd);
  close_range(kExecutableFd, ~0u, 0);

  // Static, so that its buffers are pages of zeros that cost nothing until they are used; never
  // destroyed, because the kernel does that faster.
  alignas(Supervisor) static char storage[sizeof(Supervisor)];
  Supervisor::Fds fds = {
      .control = UniqueFd(kControlFd),
      .listener = UniqueFd(kListenFd),
      .container_dir = UniqueFd(kContainerDirFd),
  };
  auto* supervisor = new (storage) Supervisor(static_cast<Supervisor::Fds&&>(fds));
  _exit(supervisor->Run());
}

}  // namespace
}  // namespace ocid

int main() { return ocid::Main(); }
