#include "runtime/cli/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "runtime/cli/fd_message.h"

namespace ocid {
namespace {

void CopySize(int from, int to) {
  winsize size = {};
  if (ioctl(from, TIOCGWINSZ, &size) == 0) ioctl(to, TIOCSWINSZ, &size);
}

// The terminal in raw mode, until the object dies.
class RawTerminal {
 public:
  explicit RawTerminal(int fd) : fd_(fd) {
    if (tcgetattr(fd_, &saved_) != 0) return;
    termios raw = saved_;
    cfmakeraw(&raw);
    changed_ = tcsetattr(fd_, TCSANOW, &raw) == 0;
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal() {
    if (changed_) tcsetattr(fd_, TCSANOW, &saved_);
  }

 private:
  int fd_;
  termios saved_ = {};
  bool changed_ = false;
};

// False at the end of `from`, or when `to` takes no more.
bool PassBytes(int from, int to) {
  char bytes[16384];
  const ssize_t size = read(from, bytes, sizeof(bytes));
  if (size <= 0) return size < 0 && (errno == EINTR || errno == EAGAIN);
  for (ssize_t done = 0; done < size;) {
    const ssize_t written = write(to, bytes + done, static_cast<size_t>(size - done));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    done += written;
  }
  return true;
}

// What is still in the console after the process has gone.
void Drain(int console) {
  pollfd item = {console, POLLIN, 0};
  while (poll(&item, 1, 0) > 0 && (item.revents & POLLIN) != 0) {
    if (!PassBytes(console, STDOUT_FILENO)) return;
  }
}

int ExitCode(const siginfo_t& info) {
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

}  // namespace

absl::Status SendToSocket(const std::string& path, BorrowedFd fd, std::string_view name) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": path too long for a socket"));
  }
  memcpy(address.sun_path, path.c_str(), path.size());
  const UniqueFd socket_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket_fd.valid() ||
      connect(socket_fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("connect to ", path));
  }
  const int number = fd.get();
  const int error = SendWithFds(socket_fd.get(), name.data(), name.size(), &number, 1);
  if (error != 0) return absl::ErrnoToStatus(error, absl::StrCat("send to ", path));
  return absl::OkStatus();
}

absl::StatusOr<Foreground> Foreground::Enter() {
  sigset_t all;
  sigfillset(&all);
  // What says that this program itself went wrong must end it, and stopping is its own affair.
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGTSTP,
                           SIGTTIN, SIGTTOU, SIGPIPE}) {
    sigdelset(&all, signal);
  }
  if (sigprocmask(SIG_BLOCK, &all, nullptr) != 0) return absl::ErrnoToStatus(errno, "sigprocmask");
  UniqueFd fd(signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, "signalfd");
  return Foreground(std::move(fd));
}

void Foreground::TakeSignals(const Launched& process) {
  signalfd_siginfo info = {};
  while (read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
    const auto signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGCHLD) continue;  // its end is seen on the pidfd
    if (signal == SIGWINCH && process.console.valid()) {
      CopySize(STDIN_FILENO, process.console.get());
    } else if (signal != SIGURG) {
      syscall(SYS_pidfd_send_signal, process.pidfd.get(), signal, nullptr, 0);
    }
  }
}

absl::StatusOr<int> Foreground::Wait(const Launched& process, NotifyProxy* notify) {
  const int console = process.console.get();
  const bool has_terminal = console >= 0 && isatty(STDIN_FILENO) != 0;
  if (has_terminal) CopySize(STDIN_FILENO, console);
  const RawTerminal raw(has_terminal ? STDIN_FILENO : -1);
  pollfd items[5] = {{process.pidfd.get(), POLLIN, 0},
                     {signals_.get(), POLLIN, 0},
                     {console, POLLIN, 0},
                     {console >= 0 ? STDIN_FILENO : -1, POLLIN, 0},
                     {notify != nullptr ? notify->fd().get() : -1, POLLIN, 0}};
  for (;;) {
    if (poll(items, 5, -1) < 0 && errno != EINTR) return absl::ErrnoToStatus(errno, "poll");
    if (items[1].revents != 0) TakeSignals(process);
    if (items[2].revents != 0 && !PassBytes(console, STDOUT_FILENO)) items[2].fd = -1;
    if (items[3].revents != 0 && !PassBytes(STDIN_FILENO, console)) items[3].fd = -1;
    if (items[4].revents != 0 && notify->Forward(process.pid)) items[4].fd = -1;
    if (items[0].revents != 0) break;
  }
  if (console >= 0) Drain(console);
  siginfo_t info = {};
  if (waitid(P_PIDFD, static_cast<id_t>(process.pidfd.get()), &info, WEXITED) != 0) {
    return absl::ErrnoToStatus(errno, "wait for the process");
  }
  // Orphans of a container that shares the host's pid namespace became ours.
  while (waitpid(-1, nullptr, WNOHANG) > 0) {
  }
  return ExitCode(info);
}

}  // namespace ocid
