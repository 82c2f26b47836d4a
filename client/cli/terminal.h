// The user's terminal: raw mode, size, and the keys that let go of it.
//
// Thread-compatible; nothing blocks. Source: termios(3), ioctl_tty(2).
#ifndef OCID_CLIENT_CLI_TERMINAL_H_
#define OCID_CLIENT_CLI_TERMINAL_H_

#include <termios.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

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

// Ctrl-P Ctrl-Q.
inline constexpr char kDefaultDetachKeys[] = "ctrl-p,ctrl-q";

// Looks for a sequence of keys in what the user types.
class DetachKeys {
 public:
  // "ctrl-p,ctrl-q", "ctrl-]", "~,.": keys, each a character or ctrl- and one of a-z @ [ \ ] ^ _,
  // separated by commas. "none": there is no such sequence.
  static absl::StatusOr<DetachKeys> Parse(std::string_view keys);

  // Of nothing: what is typed is sent on.
  DetachKeys() = default;

  // What to send on of `typed`. Keys that begin the sequence are held back until the next ones show
  // what they meant.
  std::string Feed(std::string_view typed);
  bool pressed() const { return pressed_; }

 private:
  explicit DetachKeys(std::string sequence) : sequence_(std::move(sequence)) {}

  std::string sequence_;
  size_t matched_ = 0;  // keys of it, held back
  bool pressed_ = false;
};

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_TERMINAL_H_
