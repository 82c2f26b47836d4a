#include "client/cli/terminal.h"

#include <sys/ioctl.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"

namespace ocid::cli {
namespace {

constexpr size_t kMaxDetachKeys = 16;

// The byte that a terminal sends for "ctrl-p" or "p".
std::optional<char> ParseKey(std::string_view key) {
  constexpr std::string_view kControl = "ctrl-";
  if (key.size() == 1) return key[0];
  if (!key.starts_with(kControl) || key.size() != kControl.size() + 1) return std::nullopt;
  const char letter = key.back();
  if (letter >= 'a' && letter <= 'z') return static_cast<char>(letter - 'a' + 1);
  if (letter >= '@' && letter <= '_') return static_cast<char>(letter - '@');
  return std::nullopt;
}

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

absl::StatusOr<DetachKeys> DetachKeys::Parse(std::string_view keys) {
  if (keys == "none") return DetachKeys();
  std::string sequence;
  for (std::string_view rest = keys;;) {
    const size_t comma = rest.find(',');
    const std::optional<char> key = ParseKey(rest.substr(0, comma));
    if (!key.has_value() || sequence.size() == kMaxDetachKeys) {
      return absl::InvalidArgumentError(
          "expected keys such as ctrl-p,ctrl-q, separated by commas, or none");
    }
    sequence += *key;
    if (comma == std::string_view::npos) return DetachKeys(std::move(sequence));
    rest.remove_prefix(comma + 1);
  }
}

std::string DetachKeys::Feed(std::string_view typed) {
  if (sequence_.empty()) return std::string(typed);
  std::string passed;
  for (const char key : typed) {
    // What is held back is the beginning of the sequence: where the key does not continue it, a
    // shorter beginning may, and the rest was meant for the program.
    while (matched_ > 0 && sequence_[matched_] != key) {
      size_t shorter = matched_ - 1;
      while (shorter > 0 && sequence_.compare(0, shorter, sequence_, matched_ - shorter, shorter)) {
        --shorter;
      }
      passed += sequence_.substr(0, matched_ - shorter);
      matched_ = shorter;
    }
    if (sequence_[matched_] != key) {
      passed += key;
    } else if (++matched_ == sequence_.size()) {
      pressed_ = true;
      return passed;
    }
  }
  return passed;
}

}  // namespace ocid::cli
