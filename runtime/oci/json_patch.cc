#include "runtime/oci/json_patch.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "runtime/oci/json_pointer.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

absl::Status NoTarget(const std::string& path) {
  return absl::FailedPreconditionError(absl::StrCat("JSON patch: no value at \"", path, "\""));
}

absl::StatusOr<std::string> StringMember(const Json& operation, std::string_view name) {
  const Json* member = FindMember(operation, name);
  if (member == nullptr || !member->is_string()) {
    return absl::InvalidArgumentError(absl::StrCat("JSON patch: operation without a string \"",
                                                   absl::string_view(name.data(), name.size()),
                                                   "\""));
  }
  return member->get_ref<const std::string&>();
}

// The container that holds the value at a path, and the last token of the path.
struct Place {
  Json* parent;
  std::string token;
};

absl::StatusOr<Place> FindPlace(const std::string& path, Json& document) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("JSON patch: malformed path \"", path, "\""));
  }
  absl::StatusOr<std::vector<std::string>> token =
      SplitPointer(std::string_view(path).substr(slash));
  if (!token.ok()) return token.status();
  Json* parent = ResolvePointer(document, std::string_view(path).substr(0, slash));
  if (parent == nullptr) return NoTarget(path);
  return Place{parent, std::move(token->front())};
}

absl::Status Add(const std::string& path, Json value, Json& document) {
  if (path.empty()) {
    document = std::move(value);
    return absl::OkStatus();
  }
  absl::StatusOr<Place> place = FindPlace(path, document);
  if (!place.ok()) return place.status();
  if (place->parent->is_object()) {
    (*place->parent)[place->token] = std::move(value);
    return absl::OkStatus();
  }
  if (!place->parent->is_array()) return NoTarget(path);
  auto& array = place->parent->get_ref<Json::array_t&>();
  const std::optional<size_t> index =
      place->token == "-" ? array.size() : ParseArrayIndex(place->token);
  if (!index.has_value() || *index > array.size()) return NoTarget(path);
  array.insert(array.begin() + static_cast<std::ptrdiff_t>(*index), std::move(value));
  return absl::OkStatus();
}

// Takes the value at `path` out of the document.
absl::StatusOr<Json> Remove(const std::string& path, Json& document) {
  if (path.empty()) return std::exchange(document, Json());
  absl::StatusOr<Place> place = FindPlace(path, document);
  if (!place.ok()) return place.status();
  if (place->parent->is_object()) {
    auto& object = place->parent->get_ref<Json::object_t&>();
    const auto it = object.find(place->token);
    if (it == object.end()) return NoTarget(path);
    Json value = std::move(it->second);
    object.erase(it);
    return value;
  }
  const std::optional<size_t> index = ParseArrayIndex(place->token);
  if (!place->parent->is_array() || !index.has_value() || *index >= place->parent->size()) {
    return NoTarget(path);
  }
  auto& array = place->parent->get_ref<Json::array_t&>();
  Json value = std::move(array[*index]);
  array.erase(array.begin() + static_cast<std::ptrdiff_t>(*index));
  return value;
}

bool IsProperPrefix(const std::string& prefix, const std::string& path) {
  return path.size() > prefix.size() && path.compare(0, prefix.size(), prefix) == 0 &&
         path[prefix.size()] == '/';
}

absl::Status Move(const std::string& from, const std::string& path, Json& document) {
  if (IsProperPrefix(from, path)) {
    return absl::InvalidArgumentError("JSON patch: a value cannot move into itself");
  }
  absl::StatusOr<Json> value = Remove(from, document);
  if (!value.ok()) return value.status();
  Json kept = *value;
  absl::Status added = Add(path, *std::move(value), document);
  // Where it was, there is room for it.
  if (!added.ok()) Add(from, std::move(kept), document).IgnoreError();
  return added;
}

}  // namespace

absl::Status ApplyPatchOperation(const Json& operation, Json& document) {
  return ApplyPatchOperation(Json(operation), document);
}

absl::Status ApplyPatchOperation(Json&& operation, Json& document) {
  const absl::StatusOr<std::string> op = StringMember(operation, "op");
  if (!op.ok()) return op.status();
  const absl::StatusOr<std::string> path = StringMember(operation, "path");
  if (!path.ok()) return path.status();

  if (*op == "remove") return Remove(*path, document).status();
  if (*op == "move" || *op == "copy") {
    const absl::StatusOr<std::string> from = StringMember(operation, "from");
    if (!from.ok()) return from.status();
    if (*op == "move") return Move(*from, *path, document);
    const Json* source = ResolvePointer(std::as_const(document), *from);
    if (source == nullptr) return NoTarget(*from);
    return Add(*path, *source, document);
  }

  Json* value = FindMember(operation, "value");
  if (value == nullptr) {
    return absl::InvalidArgumentError("JSON patch: operation without a \"value\"");
  }
  if (*op == "add") return Add(*path, std::move(*value), document);
  Json* target = ResolvePointer(document, *path);
  if (*op == "replace") {
    if (target == nullptr) return NoTarget(*path);
    *target = std::move(*value);
    return absl::OkStatus();
  }
  if (*op == "test") {
    if (target == nullptr) return NoTarget(*path);
    if (*target == *value) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("JSON patch: test of \"", *path, "\" failed"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("JSON patch: unknown operation \"", op->substr(0, 40), "\""));
}

absl::Status ApplyPatch(const Json& patch, Json& document) {
  if (!patch.is_array()) return absl::InvalidArgumentError("JSON patch: not an array");
  for (const Json& operation : patch) {
    absl::Status applied = ApplyPatchOperation(operation, document);
    if (!applied.ok()) return applied;
  }
  return absl::OkStatus();
}

}  // namespace ocid
