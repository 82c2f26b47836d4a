#include "daemon/spec/digest_cache.h"

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

// Empty where the operation has no such member: the whole document is then written again.
std::vector<std::string> TokensOf(const Json& operation, std::string_view name) {
  const Json* path = FindMember(operation, name);
  if (path == nullptr || !path->is_string()) return {};
  return SplitPointer(path->get_ref<const std::string&>()).value_or(std::vector<std::string>());
}

}  // namespace

void DigestCache::Invalidate(const Json& operation) {
  const std::vector<std::string> tokens = TokensOf(operation, "path");
  const Json* op = FindMember(operation, "op");
  if (op == nullptr || tokens.empty()) {
    Forget();
    return;
  }
  const bool moves = *op == "move";
  const std::vector<std::string> from = moves ? TokensOf(operation, "from") : tokens;
  if (from.empty() || from[0] != tokens[0]) {
    Forget();
    return;
  }
  const auto it = members_.find(tokens[0]);
  if (it == members_.end()) return;
  Member& member = it->second;
  if (tokens.size() == 1 || from.size() == 1) {
    members_.erase(it);
    return;
  }
  if (member.elements.empty()) {
    member.parts.erase(tokens[1]);
    member.parts.erase(from[1]);
    return;
  }
  std::vector<std::string>& elements = member.elements;
  const std::optional<size_t> index = ParseArrayIndex(tokens[1]);
  const std::optional<size_t> old_index = ParseArrayIndex(from[1]);
  if (!index.has_value() || !old_index.has_value() || *index > elements.size() ||
      *old_index > elements.size()) {
    members_.erase(it);
    return;
  }
  const auto at = [&elements](size_t i) {
    return elements.begin() + static_cast<std::ptrdiff_t>(i);
  };
  if (tokens.size() == 2 && *op == "add") {
    elements.insert(at(*index), "");
  } else if (*index == elements.size() || *old_index == elements.size()) {
    members_.erase(it);
  } else if (tokens.size() > 2 || from.size() > 2) {
    elements[*index].clear();
    elements[*old_index].clear();
  } else if (*op == "remove") {
    elements.erase(at(*index));
  } else if (moves) {
    std::string text = std::move(elements[*old_index]);
    elements.erase(at(*old_index));
    elements.insert(at(*index), std::move(text));
  } else {
    elements[*index].clear();
  }
}

void DigestCache::AppendMember(const Json& value, Member& cache) {
  if (value.is_array() && !value.empty()) {
    const auto& array = value.get_ref<const Json::array_t&>();
    if (cache.elements.size() != array.size()) cache.elements.assign(array.size(), "");
    char separator = '[';
    for (size_t i = 0; i < array.size(); ++i) {
      text_.push_back(separator);
      if (cache.elements[i].empty()) AppendCanonicalJson(array[i], cache.elements[i]);
      text_ += cache.elements[i];
      separator = ',';
    }
    text_.push_back(']');
  } else if (value.is_object() && !value.empty()) {
    char separator = '{';
    for (const auto& [name, part] : value.get_ref<const Json::object_t&>()) {
      text_.push_back(separator);
      AppendJsonString(name, text_);
      text_.push_back(':');
      std::string& text = cache.parts[name];
      if (text.empty()) AppendCanonicalJson(part, text);
      text_ += text;
      separator = ',';
    }
    text_.push_back('}');
  } else {
    AppendCanonicalJson(value, text_);
  }
}

std::string DigestCache::Update(const Json& patch, const Json& document) {
  for (const Json& operation : patch) Invalidate(operation);
  text_.clear();
  char separator = '{';
  for (const auto& [name, member] : document.get_ref<const Json::object_t&>()) {
    text_.push_back(separator);
    AppendJsonString(name, text_);
    text_.push_back(':');
    AppendMember(member, members_[name]);
    separator = ',';
  }
  text_ += separator == '{' ? "{}" : "}";
  return Sha256Digest(text_);
}

}  // namespace ocid
