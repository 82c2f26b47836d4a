#include "client/cli/terminal.h"

#include <sys/ioctl.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"

namespace ocid::cli {
namespace {

constexpr char kCtrlP = 0x10;
constexpr char kCtrlQ = 0x11;

}  // namespace

absl::StatusOr<RawTerminal> RawTerminal::Open(int fd) {
  termios before;
  if (tcgetattr(fd, &before) != 0) {
    return absl::FailedPreconditionError("standard input is not a terminal; leave -t out");
  }
  termios raw = before;
  cfmakeraw(&raw);
  // TCSADRAIN, not TCSAFLUSH: what the user has typed ahead is for the program.
  if (tcsetattr(fd, TCSADRAIN, &raw) != 0) {
    return absl::FailedPreconditionError("the terminal cannot be set to raw mode");
  }
  return RawTerminal(fd, before);
}

RawTerminal::RawTerminal(RawTerminal&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), before_(other.before_) {}

RawTerminal::~RawTerminal() {
  // Nothing to be done where it fails: the terminal is gone.
  if (fd_ >= 0) static_cast<void>(tcsetattr(fd_, TCSADRAIN, &before_));
}

std::optional<v1::ConsoleSize> GetConsoleSize(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) {
    return std::nullopt;
  }
  v1::ConsoleSize console;
  console.set_rows(size.ws_row);
  console.set_columns(size.ws_col);
  return console;
}

std::string DetachKeys::Feed(std::string_view typed) {
  std::string passed;
  for (const char key : typed) {
    if (holds_first_ && key == kCtrlQ) {
      pressed_ = true;
      return passed;
    }
    if (holds_first_) passed += kCtrlP;
    holds_first_ = key == kCtrlP;
    if (!holds_first_) passed += key;
  }
  return passed;
}

}  // namespace ocid::cli
