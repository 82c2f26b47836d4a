#include "runtime/oci/json_pointer.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

absl::StatusOr<std::string> Unescape(std::string_view token) {
  std::string text;
  text.reserve(token.size());
  for (size_t i = 0; i < token.size(); ++i) {
    if (token[i] != '~') {
      text.push_back(token[i]);
      continue;
    }
    ++i;
    if (i == token.size() || (token[i] != '0' && token[i] != '1')) {
      return absl::InvalidArgumentError("JSON pointer: ~ must be followed by 0 or 1");
    }
    text.push_back(token[i] == '0' ? '~' : '/');
  }
  return text;
}

}  // namespace

void AppendPointerToken(std::string_view token, std::string& pointer) {
  pointer.push_back('/');
  for (const char c : token) {
    if (c == '~') {
      pointer += "~0";
    } else if (c == '/') {
      pointer += "~1";
    } else {
      pointer.push_back(c);
    }
  }
}

std::string JoinPointer(std::string_view pointer, std::string_view token) {
  std::string joined(pointer);
  AppendPointerToken(token, joined);
  return joined;
}

std::string JoinPointer(std::string_view pointer, size_t index) {
  return absl::StrCat(View(pointer), "/", index);
}

absl::StatusOr<std::vector<std::string>> SplitPointer(std::string_view pointer) {
  std::vector<std::string> tokens;
  if (pointer.empty()) return tokens;
  if (pointer.front() != '/') {
    return absl::InvalidArgumentError("JSON pointer: must be empty or begin with /");
  }
  while (!pointer.empty()) {
    pointer.remove_prefix(1);
    const std::string_view raw = pointer.substr(0, pointer.find('/'));
    absl::StatusOr<std::string> token = Unescape(raw);
    if (!token.ok()) return token.status();
    tokens.push_back(*std::move(token));
    pointer.remove_prefix(raw.size());
  }
  return tokens;
}

std::optional<size_t> ParseArrayIndex(std::string_view token) {
  if (token.empty() || (token.size() > 1 && token.front() == '0')) return std::nullopt;
  size_t index = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), index);
  if (error != std::errc() || end != token.data() + token.size()) return std::nullopt;
  return index;
}

const Json* ResolvePointer(const Json& document, std::string_view pointer) {
  const absl::StatusOr<std::vector<std::string>> tokens = SplitPointer(pointer);
  if (!tokens.ok()) return nullptr;
  const Json* value = &document;
  for (const std::string& token : *tokens) {
    if (value->is_object()) {
      value = FindMember(*value, token);
      if (value == nullptr) return nullptr;
    } else if (value->is_array()) {
      const std::optional<size_t> index = ParseArrayIndex(token);
      if (!index.has_value() || *index >= value->size()) return nullptr;
      value = &(*value)[*index];
    } else {
      return nullptr;
    }
  }
  return value;
}

Json* ResolvePointer(Json& document, std::string_view pointer) {
  return const_cast<Json*>(ResolvePointer(static_cast<const Json&>(document), pointer));
}

const Json* FindMember(const Json& value, std::string_view name) {
  if (!value.is_object()) return nullptr;
  const auto& object = value.get_ref<const Json::object_t&>();
  const auto it = object.find(name);
  return it == object.end() ? nullptr : &it->second;
}

Json* FindMember(Json& value, std::string_view name) {
  return const_cast<Json*>(FindMember(static_cast<const Json&>(value), name));
}

}  // namespace ocid
