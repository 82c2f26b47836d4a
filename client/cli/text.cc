#include "client/cli/text.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"

namespace ocid::cli {
namespace {

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

absl::Status Invalid(std::string_view text, std::string_view expected) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", View(text), "\": expected ", View(expected)));
}

bool ParseNumber(std::string_view text, double& value) {
  return absl::SimpleAtod(View(text), &value) && std::isfinite(value);
}

// Whether `text` is made of decimal digits alone: SimpleAtoi takes signs and blanks too.
template <typename Number>
bool ParseDigits(std::string_view text, Number& value) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos &&
         absl::SimpleAtoi(View(text), &value);
}

std::string Absolute(const std::string& path, const std::string& working_directory) {
  return (std::filesystem::path(working_directory) / path).lexically_normal().string();
}

}  // namespace

absl::StatusOr<int64_t> ParseSize(std::string_view text) {
  constexpr std::string_view kExpected = "a size such as 512k, 64m or 2g, or -1";
  if (text == "-1") return -1;
  const size_t digits = text.find_first_not_of("0123456789.");
  double number = 0;
  if (!ParseNumber(text.substr(0, digits), number)) return Invalid(text, kExpected);
  std::string unit =
      digits == std::string_view::npos ? "" : absl::AsciiStrToLower(View(text.substr(digits)));
  for (const std::string_view suffix : {"ib", "b"}) {
    if (unit.ends_with(suffix)) {
      unit.resize(unit.size() - suffix.size());
      break;
    }
  }
  constexpr std::string_view kUnits = "kmgtp";
  if (unit.size() > 1) return Invalid(text, kExpected);
  if (!unit.empty()) {
    const size_t power = kUnits.find(unit[0]);
    if (power == std::string_view::npos) return Invalid(text, kExpected);
    number = std::ldexp(number, 10 * (static_cast<int>(power) + 1));
  }
  if (number >= 9.2e18) return Invalid(text, "a size below 8 EiB");
  return static_cast<int64_t>(number);
}

absl::StatusOr<absl::Duration> ParseDuration(std::string_view text) {
  double seconds = 0;
  absl::Duration duration;
  if (ParseNumber(text, seconds)) {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(View(text), &duration)) {
    return Invalid(text, "seconds, or a duration such as 1.5s or 2m30s");
  }
  if (duration < absl::ZeroDuration()) return Invalid(text, "a duration that is not negative");
  return duration;
}

absl::StatusOr<absl::Time> ParseTime(std::string_view text, absl::Time now) {
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, View(text), &time, &error)) return time;
  if (absl::ParseTime("%Y-%m-%dT%H:%M:%E*S", View(text), absl::LocalTimeZone(), &time, &error)) {
    return time;
  }
  if (absl::ParseTime("%Y-%m-%d", View(text), absl::LocalTimeZone(), &time, &error)) return time;
  double seconds = 0;
  // Split, because a double has no nanoseconds left at today's dates.
  if (ParseNumber(text, seconds)) return absl::FromUnixMicros(std::llround(seconds * 1e6));
  absl::Duration ago;
  if (absl::ParseDuration(View(text), &ago)) return now - ago;
  return Invalid(
      text, "a time such as 2026-11-22T20:00:00Z, seconds since 1970, or 10m for ten minutes ago");
}

absl::StatusOr<std::pair<std::string, std::string>> ParseKeyValue(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) return Invalid(text, "KEY=VALUE");
  return std::pair(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
}

absl::StatusOr<v1::User> ParseUser(std::string_view text) {
  const size_t colon = text.find(':');
  uint32_t uid = 0;
  uint32_t gid = 0;
  if (!ParseDigits(text.substr(0, colon), uid) ||
      (colon != std::string_view::npos && !ParseDigits(text.substr(colon + 1), gid))) {
    return Invalid(text, "UID or UID:GID in numbers");
  }
  v1::User user;
  user.set_uid(uid);
  user.set_gid(gid);
  return user;
}

absl::StatusOr<v1::Mount> ParseMount(std::string_view text, const std::string& working_directory) {
  v1::Mount mount;
  if (text.find('=') == std::string_view::npos) {
    const std::vector<std::string> parts = absl::StrSplit(View(text), ':');
    if (parts.size() < 2 || parts.size() > 3)
      return Invalid(text, "SOURCE:DESTINATION[:OPTION,...]");
    mount.set_source(parts[0]);
    mount.set_destination(parts[1]);
    if (parts.size() == 3) {
      for (absl::string_view option : absl::StrSplit(parts[2], ',', absl::SkipEmpty())) {
        mount.add_options(std::string(option));
      }
    }
  } else {
    const std::vector<std::string> items = absl::StrSplit(View(text), ',', absl::SkipEmpty());
    for (const std::string& item : items) {
      const size_t equals = item.find('=');
      const std::string key = item.substr(0, equals);
      const std::string value = equals == std::string::npos ? "" : item.substr(equals + 1);
      if (key == "type") {
        mount.set_type(value);
      } else if (key == "src" || key == "source") {
        mount.set_source(value);
      } else if (key == "dst" || key == "destination" || key == "target") {
        mount.set_destination(value);
      } else if (key == "readonly") {
        mount.add_options("ro");
      } else {
        mount.add_options(item);
      }
    }
  }
  if (!mount.destination().starts_with('/')) {
    return Invalid(text, "an absolute path of the container as destination (dst=/PATH)");
  }
  if (mount.type().empty()) mount.set_type("bind");
  if (mount.type() == "bind") {
    if (mount.source().empty()) return Invalid(text, "a source (src=PATH) for a bind mount");
    mount.set_source(Absolute(mount.source(), working_directory));
    bool says_bind = false;
    for (const std::string& option : mount.options()) {
      says_bind |= option == "bind" || option == "rbind";
    }
    if (!says_bind) mount.add_options("rbind");
  } else if (mount.source().empty()) {
    mount.set_source(mount.type());
  }
  return mount;
}

absl::StatusOr<v1::RestartPolicy> ParseRestartPolicy(std::string_view text) {
  v1::RestartPolicy policy;
  if (text == "no" || text == "never") {
    policy.set_mode(v1::RestartPolicy::NEVER);
  } else if (text == "always") {
    policy.set_mode(v1::RestartPolicy::ALWAYS);
  } else if (text == "unless-stopped") {
    policy.set_mode(v1::RestartPolicy::UNLESS_STOPPED);
  } else if (text.starts_with("on-failure")) {
    policy.set_mode(v1::RestartPolicy::ON_FAILURE);
    const std::string_view rest = text.substr(std::string_view("on-failure").size());
    uint32_t retries = 0;
    if (!rest.empty() && (rest[0] != ':' || !ParseDigits(rest.substr(1), retries))) {
      return Invalid(text, "on-failure:NUMBER");
    }
    policy.set_max_retries(retries);
  } else {
    return Invalid(text, "no, on-failure[:N], always or unless-stopped");
  }
  return policy;
}

absl::StatusOr<v1::Rlimit> ParseRlimit(std::string_view text) {
  constexpr std::string_view kExpected = "NAME=SOFT[:HARD], such as nofile=1024:2048";
  const absl::StatusOr<std::pair<std::string, std::string>> pair = ParseKeyValue(text);
  if (!pair.ok()) return Invalid(text, kExpected);
  const auto limit = [](std::string_view value, uint64_t& out) {
    if (value == "unlimited" || value == "-1") {
      out = std::numeric_limits<uint64_t>::max();
      return true;
    }
    return ParseDigits(value, out);
  };
  const std::string_view values = pair->second;
  const size_t colon = values.find(':');
  uint64_t soft = 0;
  if (!limit(values.substr(0, colon), soft)) return Invalid(text, kExpected);
  uint64_t hard = soft;
  if (colon != std::string_view::npos && !limit(values.substr(colon + 1), hard)) {
    return Invalid(text, kExpected);
  }
  v1::Rlimit rlimit;
  const std::string name = absl::AsciiStrToUpper(pair->first);
  rlimit.set_type(name.starts_with("RLIMIT_") ? name : "RLIMIT_" + name);
  rlimit.set_soft(soft);
  rlimit.set_hard(hard);
  return rlimit;
}

std::string FormatSize(uint64_t bytes) {
  constexpr std::array<const char*, 6> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  if (unit == 0) return absl::StrCat(bytes, " B");
  return absl::StrFormat("%.*f %s", value < 10 ? 1 : 0, value, kUnits[unit]);
}

std::string FormatShort(absl::Duration duration) {
  if (duration < absl::Milliseconds(1)) {
    return absl::FormatDuration(absl::Trunc(duration, absl::Microseconds(1)));
  }
  if (duration < absl::Seconds(1)) {
    return absl::FormatDuration(absl::Trunc(duration, absl::Milliseconds(1)));
  }
  if (duration < absl::Minutes(1)) {
    return absl::FormatDuration(absl::Trunc(duration, absl::Milliseconds(100)));
  }
  if (duration < absl::Hours(1)) {
    return absl::FormatDuration(absl::Trunc(duration, absl::Seconds(1)));
  }
  const int64_t days = duration / absl::Hours(24);
  const int64_t hours = (duration % absl::Hours(24)) / absl::Hours(1);
  if (days > 0) return absl::StrCat(days, "d", hours, "h");
  return absl::StrCat(hours, "h", (duration % absl::Hours(1)) / absl::Minutes(1), "m");
}

}  // namespace ocid::cli
