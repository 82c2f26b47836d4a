#include "runtime/cli/flags.h"

#include <charconv>

#include "absl/strings/str_cat.h"

namespace ocid {
namespace {

std::optional<std::string> Boolean(std::string_view text) {
  for (const std::string_view yes : {"true", "1", "t", "T", "TRUE", "True"}) {
    if (text == yes) return "true";
  }
  for (const std::string_view no : {"false", "0", "f", "F", "FALSE", "False"}) {
    if (text == no) return "false";
  }
  return std::nullopt;
}

bool TakesValue(const FlagSpec& flag) {
  return flag.kind == FlagKind::kValue || flag.kind == FlagKind::kIgnoredValue;
}

}  // namespace

const FlagSpec* Flags::Find(std::string_view name) const {
  for (const FlagSpec& flag : known_) {
    if (name == flag.name || (!flag.short_name.empty() && name == flag.short_name)) return &flag;
  }
  return nullptr;
}

absl::Status Flags::Parse(const std::vector<std::string>& arguments) {
  size_t i = 0;
  for (; i < arguments.size(); ++i) {
    std::string_view word = arguments[i];
    if (word == "--") {
      ++i;
      break;
    }
    if (word.size() < 2 || word[0] != '-') break;
    word.remove_prefix(word.starts_with("--") ? 2 : 1);
    const size_t equals = word.find('=');
    const FlagSpec* const flag = Find(word.substr(0, equals));
    if (flag == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("flag provided but not defined: ", arguments[i]));
    }
    std::string value;
    if (equals != std::string_view::npos) {
      value = word.substr(equals + 1);
    } else if (TakesValue(*flag)) {
      if (++i == arguments.size()) {
        return absl::InvalidArgumentError(
            absl::StrCat("flag needs an argument: ", arguments[i - 1]));
      }
      value = arguments[i];
    } else {
      value = "true";
    }
    if (!TakesValue(*flag)) {
      const std::optional<std::string> boolean = Boolean(value);
      if (!boolean.has_value()) {
        return absl::InvalidArgumentError(
            absl::StrCat("invalid boolean value \"", value, "\" for ", arguments[i]));
      }
      value = *boolean;
    }
    values_[std::string(flag->name)].push_back(std::move(value));
  }
  positionals_.assign(arguments.begin() + static_cast<std::ptrdiff_t>(i), arguments.end());
  return absl::OkStatus();
}

std::string Flags::Value(std::string_view name, std::string_view fallback) const {
  const auto found = values_.find(std::string(name));
  return found == values_.end() ? std::string(fallback) : found->second.back();
}

std::vector<std::string> Flags::Values(std::string_view name) const {
  const auto found = values_.find(std::string(name));
  return found == values_.end() ? std::vector<std::string>() : found->second;
}

absl::StatusOr<std::optional<int64_t>> Flags::Number(std::string_view name) const {
  if (!Has(name)) return std::nullopt;
  const std::string text = Value(name);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("invalid value \"", text, "\" for --", std::string(name), ": not a number"));
  }
  return number;
}

}  // namespace ocid
