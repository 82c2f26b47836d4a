// The user's terminal: raw mode, size, and the keys that let go of it.
//
// Thread-compatible; nothing blocks. Source: termios(3), ioctl_tty(2).
#ifndef OCID_CLIENT_CLI_TERMINAL_H_
#define OCID_CLIENT_CLI_TERMINAL_H_

#include <termios.h>

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "proto/ocid/v1/types.pb.h"

namespace ocid::cli {

// Puts a terminal into raw mode and back when it goes. Does not own the descriptor.
class RawTerminal {
 public:
  // FAILED_PRECONDITION where `fd` is no terminal.
  static absl::StatusOr<RawTerminal> Open(int fd);
  RawTerminal(RawTerminal&& other) noexcept;
  RawTerminal& operator=(RawTerminal&&) = delete;
  ~RawTerminal();

 private:
  RawTerminal(int fd, const termios& before) : fd_(fd), before_(before) {}

  int fd_;
  termios before_;
};

// Nothing where `fd` is no terminal or does not know its size.
std::optional<v1::ConsoleSize> GetConsoleSize(int fd);

// Looks for Ctrl-P Ctrl-Q in what the user types.
class DetachKeys {
 public:
  // What to send on of `typed`. A Ctrl-P is held back until the next key shows what it meant.
  std::string Feed(std::string_view typed);
  bool pressed() const { return pressed_; }

 private:
  bool holds_first_ = false;
  bool pressed_ = false;
};

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_TERMINAL_H_
