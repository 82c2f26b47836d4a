// JsonCursor reads a document member by member and knows where it is, so that every error names its
// JSON pointer.
//
// Reading goes on after an error with fallback values: the cursor that started notes the first
// error, and who read looks at it once, at the end. A member that is null counts as absent, as Go
// writes it. Strings with a 0 byte are errors: they end up as C strings.
//
// Borrows the document and the status; both must outlive all cursors. Thread-compatible; nothing
// blocks.
//
//   absl::Status error;
//   JsonCursor process = JsonCursor(document, "", &error)["process"];
//   uint64_t uid = process["user"]["uid"].Unsigned(0, UINT32_MAX);
//   if (!error.ok()) return error;  // "/process/user/uid: must be an integer from 0 to 4294967295"
#ifndef OCID_RUNTIME_OCI_JSON_CURSOR_H_
#define OCID_RUNTIME_OCI_JSON_CURSOR_H_

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace ocid {

class JsonCursor {
 public:
  JsonCursor(const nlohmann::json& value, std::string pointer, absl::Status* error);

  bool exists() const { return value_ != nullptr; }
  const std::string& pointer() const { return pointer_; }
  const nlohmann::json* value() const { return value_; }

  // A member, or a cursor for which exists() is false.
  JsonCursor operator[](std::string_view name) const;
  std::vector<std::pair<std::string, JsonCursor>> Members() const;
  std::vector<JsonCursor> Elements() const;

  std::string String(std::string_view fallback = {}) const;
  std::vector<std::string> Strings() const;
  bool Bool(bool fallback = false) const;
  uint64_t Unsigned(uint64_t fallback = 0, uint64_t maximum = UINT64_MAX) const;
  int64_t Signed(int64_t fallback = 0, int64_t minimum = INT64_MIN,
                 int64_t maximum = INT64_MAX) const;

  // Notes an error here, unless one is noted already: INVALID_ARGUMENT (reason SPEC_INVALID),
  // UNIMPLEMENTED (SPEC_UNSUPPORTED). Both carry a FieldViolation.
  void Invalid(std::string_view what) const;
  void Unsupported(std::string_view what) const;
  // Notes an error that somebody else found.
  void Adopt(const absl::Status& error) const;
  // For a field of the specification that this program does not implement.
  void RefuseIfPresent() const;

  bool failed() const { return !error_->ok(); }

 private:
  JsonCursor(const nlohmann::json* value, std::string pointer, absl::Status* error)
      : value_(value), pointer_(std::move(pointer)), error_(error) {}

  void Note(absl::StatusCode code, std::string_view reason, std::string_view what) const;

  const nlohmann::json* value_;  // null: absent
  std::string pointer_;
  absl::Status* error_;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_OCI_JSON_CURSOR_H_
