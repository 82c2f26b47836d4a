#include "daemon/base/signal_name.h"

#include <csignal>
#include <cstring>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"

namespace ocid {
namespace {

constexpr int kLastSignal = 64;

bool IsNumber(std::string_view text) {
  if (text.empty() || text.size() > 3) return false;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
  }
  return true;
}

// "RTMIN", "RTMIN+3", "RTMAX", "RTMAX-2". The C library keeps the first two for itself, and so the
// program in the container will mean ours by these names.
std::optional<int> ParseRealTime(std::string_view name) {
  const bool from_min = name.starts_with("RTMIN");
  if (!from_min && !name.starts_with("RTMAX")) return std::nullopt;
  const std::string_view offset = name.substr(5);
  int distance = 0;
  if (!offset.empty()) {
    if (offset[0] != (from_min ? '+' : '-') || !IsNumber(offset.substr(1))) return std::nullopt;
    if (!absl::SimpleAtoi(std::string(offset.substr(1)), &distance)) return std::nullopt;
  }
  const int number = from_min ? SIGRTMIN + distance : SIGRTMAX - distance;
  if (number < SIGRTMIN || number > SIGRTMAX) return std::nullopt;
  return number;
}

}  // namespace

std::optional<int> ParseSignal(std::string_view text) {
  if (IsNumber(text)) {
    int number = 0;
    if (!absl::SimpleAtoi(std::string(text), &number)) return std::nullopt;
    return number >= 1 && number <= kLastSignal ? std::optional<int>(number) : std::nullopt;
  }
  const std::string upper = absl::AsciiStrToUpper(std::string(text));
  std::string_view name = upper;
  if (name.starts_with("SIG")) name.remove_prefix(3);
  for (int number = 1; number < SIGRTMIN; ++number) {
    const char* abbreviation = sigabbrev_np(number);
    if (abbreviation != nullptr && name == abbreviation) return number;
  }
  if (name == "IOT") return SIGABRT;
  if (name == "CLD") return SIGCHLD;
  return ParseRealTime(name);
}

}  // namespace ocid
