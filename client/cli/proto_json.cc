#include "client/cli/proto_json.h"

#include <google/protobuf/descriptor.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace ocid::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using nlohmann::ordered_json;

bool IsUtf8(const std::string& bytes) {
  try {
    static_cast<void>(ordered_json(bytes).dump());
    return true;
  } catch (const ordered_json::type_error&) {
    return false;
  }
}

// A document inside a message: its own JSON where it is some, else the text.
ordered_json Embedded(const std::string& text) {
  if (text.empty()) return nullptr;
  ordered_json parsed = ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  return parsed.is_discarded() ? ordered_json(text) : parsed;
}

ordered_json StringValue(const FieldDescriptor& field, const std::string& value) {
  const std::string& name = field.name();
  const bool holds_json = name == "json" || name.ends_with("_json") || name == "json_patch";
  if (field.type() == FieldDescriptor::TYPE_BYTES && !IsUtf8(value)) {
    return absl::StrCat("base64:", absl::Base64Escape(value));
  }
  return holds_json ? Embedded(value) : ordered_json(value);
}

// "edits" of edits_json: what is printed is the document, not a text.
std::string JsonName(const FieldDescriptor& field) {
  constexpr std::string_view kSuffix = "_json";
  const std::string& name = field.name();
  return name.ends_with(kSuffix) ? name.substr(0, name.size() - kSuffix.size()) : name;
}

ordered_json MessageValue(const Message& message) {
  if (const auto* time = dynamic_cast<const google::protobuf::Timestamp*>(&message)) {
    return FormatTime(*time);
  }
  if (const auto* duration = dynamic_cast<const google::protobuf::Duration*>(&message)) {
    return absl::ToDoubleSeconds(ToDuration(*duration));
  }
  return ToJson(message);
}

ordered_json SingularValue(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection.GetInt32(message, &field);
    case FieldDescriptor::CPPTYPE_INT64:
      return reflection.GetInt64(message, &field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection.GetUInt32(message, &field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection.GetUInt64(message, &field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection.GetDouble(message, &field);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return reflection.GetFloat(message, &field);
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetBool(message, &field);
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumText(*field.enum_type(), reflection.GetEnumValue(message, &field));
    case FieldDescriptor::CPPTYPE_STRING:
      return StringValue(field, reflection.GetString(message, &field));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return MessageValue(reflection.GetMessage(message, &field));
  }
  return nullptr;
}

ordered_json RepeatedValue(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection.GetRepeatedInt32(message, &field, index);
    case FieldDescriptor::CPPTYPE_INT64:
      return reflection.GetRepeatedInt64(message, &field, index);
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection.GetRepeatedUInt32(message, &field, index);
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection.GetRepeatedUInt64(message, &field, index);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection.GetRepeatedDouble(message, &field, index);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return reflection.GetRepeatedFloat(message, &field, index);
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetRepeatedBool(message, &field, index);
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumText(*field.enum_type(), reflection.GetRepeatedEnumValue(message, &field, index));
    case FieldDescriptor::CPPTYPE_STRING:
      return StringValue(field, reflection.GetRepeatedString(message, &field, index));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return MessageValue(reflection.GetRepeatedMessage(message, &field, index));
  }
  return nullptr;
}

// A map's entries in the order of their keys: the message's own order changes from run to run.
ordered_json MapValue(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  std::map<std::string, ordered_json> sorted;
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    const Message& entry = reflection.GetRepeatedMessage(message, &field, i);
    const ordered_json key = SingularValue(entry, *field.message_type()->map_key());
    sorted[key.is_string() ? key.get<std::string>() : key.dump()] =
        SingularValue(entry, *field.message_type()->map_value());
  }
  ordered_json value = ordered_json::object();
  for (auto& [key, entry] : sorted) value[key] = std::move(entry);
  return value;
}

}  // namespace

ordered_json ToJson(const Message& message) {
  const Reflection& reflection = *message.GetReflection();
  ordered_json object = ordered_json::object();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    if (field.is_map()) {
      object[field.name()] = MapValue(message, field);
    } else if (field.is_repeated()) {
      ordered_json& list = object[field.name()] = ordered_json::array();
      for (int k = 0; k < reflection.FieldSize(message, &field); ++k) {
        list.push_back(RepeatedValue(message, field, k));
      }
    } else if (!field.has_presence() || reflection.HasField(message, &field)) {
      object[JsonName(field)] = SingularValue(message, field);
    }
  }
  return object;
}

absl::Time ToTime(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) + absl::Nanoseconds(timestamp.nanos());
}

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

void SetTimestamp(absl::Time time, google::protobuf::Timestamp& out) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  out.set_seconds(seconds);
  out.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

void SetDuration(absl::Duration duration, google::protobuf::Duration& out) {
  absl::Duration rest;
  out.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  out.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
}

std::string FormatTime(const google::protobuf::Timestamp& timestamp) {
  if (timestamp.seconds() == 0 && timestamp.nanos() == 0) return "";
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E9SZ", ToTime(timestamp), absl::UTCTimeZone());
}

std::string EnumText(const google::protobuf::EnumDescriptor& type, int number) {
  const google::protobuf::EnumValueDescriptor* value = type.FindValueByNumber(number);
  // proto3 keeps numbers that a newer daemon knows and we do not.
  if (value == nullptr) return absl::StrCat(number);
  std::string name = value->name();
  const google::protobuf::EnumValueDescriptor* zero = type.FindValueByNumber(0);
  constexpr std::string_view kUnspecified = "UNSPECIFIED";
  if (zero != nullptr && zero->name().ends_with(kUnspecified)) {
    const std::string prefix = zero->name().substr(0, zero->name().size() - kUnspecified.size());
    if (name.starts_with(prefix)) name = name.substr(prefix.size());
  }
  return absl::AsciiStrToLower(name);
}

}  // namespace ocid::cli
