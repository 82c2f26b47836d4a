#include "daemon/config_values.h"

#include <array>
#include <limits>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"

namespace ocid {
namespace {

constexpr std::array<const char*, 5> kUnits = {"", "KiB", "MiB", "GiB", "TiB"};

// The exponent of 1024 that a unit stands for; -1: it is none.
int UnitExponent(const std::string& unit) {
  for (size_t i = 0; i < kUnits.size(); ++i) {
    const std::string full = absl::AsciiStrToLower(kUnits[i]);
    if (unit == full || (i > 0 && (unit == full.substr(0, 1) || unit == full.substr(0, 1) + "b"))) {
      return static_cast<int>(i);
    }
  }
  return -1;
}

}  // namespace

absl::Status CheckAbsolutePath(const std::string& value) {
  if (!absl::StartsWith(value, "/")) {
    return absl::InvalidArgumentError(absl::StrCat(QuoteForLog(value), " is not an absolute path"));
  }
  if (value.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(QuoteForLog(value), " holds a NUL"));
  }
  return absl::OkStatus();
}

absl::Status SetNumber(int& field, const std::string& value, int min, int max) {
  int number = 0;
  if (!absl::SimpleAtoi(value, &number) || number < min || number > max) {
    return absl::InvalidArgumentError(
        absl::StrCat(QuoteForLog(value), " is not a number from ", min, " to ", max));
  }
  field = number;
  return absl::OkStatus();
}

absl::Status SetDuration(absl::Duration& field, const std::string& value, absl::Duration min,
                         absl::Duration max) {
  absl::Duration duration;
  if (!absl::ParseDuration(value, &duration) || duration <= absl::ZeroDuration() ||
      duration > absl::Hours(24)) {
    return absl::InvalidArgumentError(absl::StrCat(
        QuoteForLog(value), " is not a duration such as \"30s\" or \"2m\", of at most 24h"));
  }
  if (duration < min || duration > max) {
    return absl::InvalidArgumentError(absl::StrCat(QuoteForLog(value), " is not from ",
                                                   absl::FormatDuration(min), " to ",
                                                   absl::FormatDuration(max)));
  }
  field = duration;
  return absl::OkStatus();
}

absl::Status SetBool(bool& field, const std::string& value) {
  if (value != "true" && value != "false") {
    return absl::InvalidArgumentError(
        absl::StrCat(QuoteForLog(value), " is neither true nor false"));
  }
  field = value == "true";
  return absl::OkStatus();
}

absl::Status SetSize(uint64_t& field, const std::string& value, uint64_t min, uint64_t max) {
  const size_t digits = std::min(value.find_first_not_of("0123456789"), value.size());
  uint64_t number = 0;
  const int exponent = UnitExponent(absl::AsciiStrToLower(value.substr(digits)));
  const bool fits = absl::SimpleAtoi(value.substr(0, digits), &number) && exponent >= 0 &&
                    number <= std::numeric_limits<uint64_t>::max() >> (10 * exponent);
  const uint64_t bytes = fits ? number << (10 * exponent) : 0;
  if (!fits || bytes < min || bytes > max) {
    return absl::InvalidArgumentError(absl::StrCat(QuoteForLog(value), " is not a size from ",
                                                   FormatSize(min), " to ", FormatSize(max)));
  }
  field = bytes;
  return absl::OkStatus();
}

std::string FormatSize(uint64_t bytes) {
  size_t unit = 0;
  while (bytes != 0 && bytes % 1024 == 0 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  return absl::StrCat(bytes, kUnits[unit]);
}

absl::Status CheckRegistryHost(const std::string& value) {
  const bool plain = value.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                             "0123456789.-:[]") == std::string::npos;
  if (!value.empty() && plain) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(QuoteForLog(value), " is not a registry such as \"registry.example:5000\""));
}

absl::StatusOr<std::pair<std::string, std::string>> ParseMirror(const std::string& value) {
  const size_t equals = value.find('=');
  std::string host = value.substr(0, equals);
  std::string url = equals == std::string::npos ? "" : value.substr(equals + 1);
  while (url.ends_with('/')) url.pop_back();
  const bool is_url = url.find_first_of(" \t\r\n?#@") == std::string::npos &&
                      ((url.starts_with("https://") && url.size() > 8) ||
                       (url.starts_with("http://") && url.size() > 7));
  if (!CheckRegistryHost(host).ok() || !is_url) {
    return absl::InvalidArgumentError(absl::StrCat(
        QuoteForLog(value), " is not a mirror such as \"docker.io=https://mirror.example\""));
  }
  return std::pair(std::move(host), std::move(url));
}

}  // namespace ocid
