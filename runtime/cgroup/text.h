// The few operations on text that cgroup files need, on std::string_view. Pure.
#ifndef OCID_RUNTIME_CGROUP_TEXT_H_
#define OCID_RUNTIME_CGROUP_TEXT_H_

#include <charconv>
#include <concepts>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/strings/string_view.h"

namespace ocid {

// Debian's Abseil has a string_view of its own.
inline absl::string_view AsAbsl(std::string_view text) { return {text.data(), text.size()}; }

inline std::string_view StripSpace(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// The parts between separators; empty parts are left out.
inline std::vector<std::string_view> SplitText(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(separator));
    if (!part.empty()) parts.push_back(part);
    text.remove_prefix(part.size() < text.size() ? part.size() + 1 : text.size());
  }
  return parts;
}

// The whole text as a decimal number.
template <std::integral Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || rest != end || text.empty()) return std::nullopt;
  return number;
}

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_TEXT_H_
