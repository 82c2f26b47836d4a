#include "daemon/image/json_reader.h"

#include <utility>

#include "daemon/image/image_errors.h"

namespace ocid {

using nlohmann::json;

JsonReader::JsonReader(const json& object, std::string_view what) : object_(object), what_(what) {
  if (!object.is_object()) status_ = ImageInvalid(what_ + ": not a JSON object");
}

const json* JsonReader::Find(std::string_view name) const {
  if (!object_.is_object()) return nullptr;
  const auto member = object_.find(std::string(name));
  if (member == object_.end() || member->is_null()) return nullptr;
  return &*member;
}

void JsonReader::Fail(std::string_view name, std::string_view what) {
  if (!status_.ok()) return;
  status_ = ImageInvalid(what_ + ": " + std::string(name) + ": " + std::string(what));
}

void JsonReader::Read(std::string_view name, std::string& value) {
  const json* member = Find(name);
  if (member == nullptr) return;
  if (!member->is_string()) return Fail(name, "not a string");
  value = member->get<std::string>();
}

void JsonReader::Read(std::string_view name, bool& value) {
  const json* member = Find(name);
  if (member == nullptr) return;
  if (!member->is_boolean()) return Fail(name, "neither true nor false");
  value = member->get<bool>();
}

void JsonReader::Read(std::string_view name, uint64_t& value) {
  const json* member = Find(name);
  if (member == nullptr) return;
  if (!member->is_number_unsigned()) return Fail(name, "not a whole number from 0");
  value = member->get<uint64_t>();
}

void JsonReader::Read(std::string_view name, std::vector<std::string>& value) {
  const json* member = Find(name);
  if (member == nullptr) return;
  // Docker's oldest writers gave one string where a list belongs.
  if (member->is_string()) {
    value = {member->get<std::string>()};
    return;
  }
  if (!member->is_array()) return Fail(name, "not an array");
  std::vector<std::string> strings;
  for (const json& element : *member) {
    if (!element.is_string()) return Fail(name, "holds something that is no string");
    strings.push_back(element.get<std::string>());
  }
  value = std::move(strings);
}

void JsonReader::Read(std::string_view name, std::map<std::string, std::string>& value) {
  const json* member = Find(name);
  if (member == nullptr) return;
  if (!member->is_object()) return Fail(name, "not an object");
  std::map<std::string, std::string> strings;
  for (const auto& [key, element] : member->items()) {
    if (!element.is_string()) return Fail(name, "holds something that is no string");
    strings.emplace(key, element.get<std::string>());
  }
  value = std::move(strings);
}

void JsonReader::ReadNames(std::string_view name, std::vector<std::string>& value) {
  const json* member = Object(name);
  if (member == nullptr) return;
  value.clear();
  for (const auto& [key, element] : member->items()) value.push_back(key);
}

const json* JsonReader::Object(std::string_view name) {
  const json* member = Find(name);
  if (member == nullptr || member->is_object()) return member;
  Fail(name, "not an object");
  return nullptr;
}

const json* JsonReader::Array(std::string_view name) {
  const json* member = Find(name);
  if (member == nullptr || member->is_array()) return member;
  Fail(name, "not an array");
  return nullptr;
}

}  // namespace ocid
