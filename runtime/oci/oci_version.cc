#include "runtime/oci/oci_version.h"

#include <algorithm>
#include <charconv>

namespace ocid {
namespace {

// Takes one number off the front of `text`.
std::optional<int> TakeNumber(std::string_view& text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto length = static_cast<size_t>(end - text.data());
  const bool leading_zero = length > 1 && text.front() == '0';
  if (error != std::errc() || text.front() == '-' || leading_zero) return std::nullopt;
  text.remove_prefix(length);
  return number;
}

bool TakeDot(std::string_view& text) {
  if (!text.starts_with('.')) return false;
  text.remove_prefix(1);
  return true;
}

bool IsSuffix(std::string_view text) {
  if (text.empty()) return true;
  if (text.front() != '-' && text.front() != '+') return false;
  text.remove_prefix(1);
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '.' || c == '+';
  });
}

}  // namespace

std::optional<SemanticVersion> ParseSemanticVersion(std::string_view text) {
  const std::optional<int> major = TakeNumber(text);
  if (!major.has_value() || !TakeDot(text)) return std::nullopt;
  const std::optional<int> minor = TakeNumber(text);
  if (!minor.has_value() || !TakeDot(text)) return std::nullopt;
  const std::optional<int> patch = TakeNumber(text);
  if (!patch.has_value() || !IsSuffix(text)) return std::nullopt;
  return SemanticVersion{*major, *minor, *patch};
}

}  // namespace ocid
