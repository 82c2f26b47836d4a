#include "runtime/oci/json_cursor.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/oci/json_pointer.h"

namespace ocid {

JsonCursor::JsonCursor(const nlohmann::json& value, std::string pointer, absl::Status* error)
    : JsonCursor(value.is_null() ? nullptr : &value, std::move(pointer), error) {}

JsonCursor JsonCursor::operator[](std::string_view name) const {
  std::string pointer = JoinPointer(pointer_, name);
  if (value_ == nullptr) return {nullptr, std::move(pointer), error_};
  if (!value_->is_object()) {
    Invalid("must be an object");
    return {nullptr, std::move(pointer), error_};
  }
  const nlohmann::json* member = FindMember(*value_, name);
  if (member != nullptr && member->is_null()) member = nullptr;
  return {member, std::move(pointer), error_};
}

std::vector<std::pair<std::string, JsonCursor>> JsonCursor::Members() const {
  std::vector<std::pair<std::string, JsonCursor>> members;
  if (value_ == nullptr) return members;
  if (!value_->is_object()) {
    Invalid("must be an object");
    return members;
  }
  for (const auto& [name, member] : value_->items()) {
    if (member.is_null()) continue;
    members.emplace_back(name, JsonCursor(member, JoinPointer(pointer_, name), error_));
  }
  return members;
}

std::vector<JsonCursor> JsonCursor::Elements() const {
  std::vector<JsonCursor> elements;
  if (value_ == nullptr) return elements;
  if (!value_->is_array()) {
    Invalid("must be an array");
    return elements;
  }
  elements.reserve(value_->size());
  for (size_t i = 0; i < value_->size(); ++i) {
    elements.push_back(JsonCursor((*value_)[i], JoinPointer(pointer_, i), error_));
  }
  return elements;
}

std::string JsonCursor::String(std::string_view fallback) const {
  if (value_ == nullptr) return std::string(fallback);
  if (!value_->is_string()) {
    Invalid("must be a string");
    return std::string(fallback);
  }
  std::string text = value_->get<std::string>();
  if (text.find('\0') != std::string::npos) {
    Invalid("must not contain a 0 byte");
    return std::string(fallback);
  }
  return text;
}

std::vector<std::string> JsonCursor::Strings() const {
  std::vector<std::string> strings;
  for (const JsonCursor& element : Elements()) strings.push_back(element.String());
  return strings;
}

bool JsonCursor::Bool(bool fallback) const {
  if (value_ == nullptr) return fallback;
  if (!value_->is_boolean()) {
    Invalid("must be true or false");
    return fallback;
  }
  return value_->get<bool>();
}

uint64_t JsonCursor::Unsigned(uint64_t fallback, uint64_t maximum) const {
  if (value_ == nullptr) return fallback;
  // nlohmann/json keeps a parsed number that is not negative as unsigned, one set from code as it
  // was.
  const bool negative =
      value_->is_number_integer() && !value_->is_number_unsigned() && value_->get<int64_t>() < 0;
  if (!value_->is_number_integer() || negative || value_->get<uint64_t>() > maximum) {
    Invalid(absl::StrCat("must be an integer from 0 to ", maximum));
    return fallback;
  }
  return value_->get<uint64_t>();
}

int64_t JsonCursor::Signed(int64_t fallback, int64_t minimum, int64_t maximum) const {
  if (value_ == nullptr) return fallback;
  const bool too_large = value_->is_number_unsigned() && value_->get<uint64_t>() > INT64_MAX;
  if (!value_->is_number_integer() || too_large || value_->get<int64_t>() < minimum ||
      value_->get<int64_t>() > maximum) {
    Invalid(absl::StrCat("must be an integer from ", minimum, " to ", maximum));
    return fallback;
  }
  return value_->get<int64_t>();
}

void JsonCursor::Note(absl::StatusCode code, std::string_view reason, std::string_view what) const {
  if (!error_->ok()) return;
  const std::string where = pointer_.empty() ? "the document" : pointer_;
  *error_ = MakeError(code, reason,
                      absl::StrCat(where, ": ", absl::string_view(what.data(), what.size())));
  AddFieldViolation(*error_, pointer_, what);
}

void JsonCursor::Invalid(std::string_view what) const {
  Note(absl::StatusCode::kInvalidArgument, "SPEC_INVALID", what);
}

void JsonCursor::Unsupported(std::string_view what) const {
  Note(absl::StatusCode::kUnimplemented, "SPEC_UNSUPPORTED", what);
}

void JsonCursor::Adopt(const absl::Status& error) const {
  if (error_->ok()) *error_ = error;
}

void JsonCursor::RefuseIfPresent() const {
  if (exists()) Unsupported("not supported");
}

}  // namespace ocid
