#include "runtime/base/error_details.h"

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace ocid {
namespace {

// Every field that we write or read is length-delimited.
constexpr uint64_t kLengthDelimited = 2;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

void AppendVarint(uint64_t value, std::string& out) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

void AppendField(uint64_t number, std::string_view value, std::string& out) {
  AppendVarint(number << 3 | kLengthDelimited, out);
  AppendVarint(value.size(), out);
  out.append(value);
}

// Walks the length-delimited fields of one message.
class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes) : rest_(bytes) {}

  // The next field's number and bytes; nothing at the end of the message, or where it is malformed.
  std::optional<std::pair<uint64_t, std::string_view>> Next() {
    const std::optional<uint64_t> tag = ReadVarint();
    if (!tag.has_value() || (*tag & 7) != kLengthDelimited) return std::nullopt;
    const std::optional<uint64_t> size = ReadVarint();
    if (!size.has_value() || *size > rest_.size()) return std::nullopt;
    const std::string_view value = rest_.substr(0, *size);
    rest_.remove_prefix(*size);
    return std::pair(*tag >> 3, value);
  }

 private:
  std::optional<uint64_t> ReadVarint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  }

  std::string_view rest_;
};

// Fields 1 and 2 of a message of two strings: FieldViolation, and an entry of a map.
std::pair<std::string, std::string> ReadTwoStrings(std::string_view bytes) {
  std::pair<std::string, std::string> result;
  FieldReader reader(bytes);
  while (const auto field = reader.Next()) {
    if (field->first == 1) result.first = field->second;
    if (field->first == 2) result.second = field->second;
  }
  return result;
}

std::string TwoStrings(std::string_view first, std::string_view second) {
  std::string bytes;
  AppendField(1, first, bytes);
  AppendField(2, second, bytes);
  return bytes;
}

std::string Payload(const absl::Status& status, std::string_view type_url) {
  const absl::optional<absl::Cord> payload = status.GetPayload(View(type_url));
  return payload.has_value() ? std::string(*payload) : std::string();
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message,
                       const ErrorMetadata& metadata) {
  std::string bytes = TwoStrings(reason, kErrorDomain);
  for (const auto& [key, value] : metadata) AppendField(3, TwoStrings(key, value), bytes);
  absl::Status status(code, View(message));
  status.SetPayload(View(kErrorInfoTypeUrl), absl::Cord(std::move(bytes)));
  return status;
}

void AddFieldViolation(absl::Status& status, std::string_view field, std::string_view description) {
  std::string bytes = Payload(status, kBadRequestTypeUrl);
  AppendField(1, TwoStrings(field, description), bytes);
  status.SetPayload(View(kBadRequestTypeUrl), absl::Cord(std::move(bytes)));
}

std::string GetReason(const absl::Status& status) {
  const std::string bytes = Payload(status, kErrorInfoTypeUrl);
  return ReadTwoStrings(bytes).first;
}

ErrorMetadata GetErrorMetadata(const absl::Status& status) {
  const std::string bytes = Payload(status, kErrorInfoTypeUrl);
  ErrorMetadata metadata;
  FieldReader reader(bytes);
  while (const auto field = reader.Next()) {
    if (field->first == 3) metadata.insert(ReadTwoStrings(field->second));
  }
  return metadata;
}

std::vector<FieldViolation> GetFieldViolations(const absl::Status& status) {
  const std::string bytes = Payload(status, kBadRequestTypeUrl);
  std::vector<FieldViolation> violations;
  FieldReader reader(bytes);
  while (const auto field = reader.Next()) {
    if (field->first != 1) continue;
    auto [name, description] = ReadTwoStrings(field->second);
    violations.push_back({std::move(name), std::move(description)});
  }
  return violations;
}

absl::Status Annotate(const absl::Status& status, std::string_view prefix) {
  if (status.ok()) return status;
  absl::Status result(status.code(), absl::StrCat(View(prefix), ": ", status.message()));
  status.ForEachPayload([&result](absl::string_view type_url, const absl::Cord& payload) {
    result.SetPayload(type_url, payload);
  });
  return result;
}

}  // namespace ocid
