// Consoles: handing one to a socket, and passing bytes between it and the caller's terminal.
//
// Thread-hostile (Foreground changes signal masks and the terminal's modes). Source: runc's
// docs/terminals.md; termios(3), pidfd_open(2).
#ifndef OCID_RUNTIME_CLI_CONSOLE_H_
#define OCID_RUNTIME_CLI_CONSOLE_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"
#include "runtime/cli/notify_socket.h"
#include "runtime/launch/launcher.h"

namespace ocid {

// Connects to a stream socket and sends `fd` with `name` as its data.
absl::Status SendToSocket(const std::string& path, BorrowedFd fd, std::string_view name);

// The caller's place while a container's process runs in the foreground. Made before the process is
// launched, so that no signal is lost; while it lives, signals are blocked.
class Foreground {
 public:
  static absl::StatusOr<Foreground> Enter();
  Foreground(Foreground&&) = default;

  // Passes signals to the process, bytes between its console, if it has one, and the terminal, and
  // readiness notifications on; reaps what it left behind. Returns its exit code, 128 + n for a signal. Blocks until it ends.
  absl::StatusOr<int> Wait(const Launched& process, NotifyProxy* notify = nullptr);

 private:
  explicit Foreground(UniqueFd signals) : signals_(std::move(signals)) {}

  void TakeSignals(const Launched& process);

  UniqueFd signals_;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_CLI_CONSOLE_H_
