// Machine-readable details of an absl::Status: a stable reason with metadata (google.rpc.ErrorInfo)
// and a list of offending fields (google.rpc.BadRequest).
//
// Details travel as payloads of the status, under the type URLs of the google.rpc messages and in
// their protobuf wire encoding, which is written here by hand: the runtime must not link protobuf,
// and the API layer can copy a payload into google.rpc.Status.details unchanged.
//
//   ErrorInfo  { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
//   BadRequest { repeated FieldViolation { string field = 1; string description = 2; } = 1; }
//
// Reasons are UPPER_SNAKE_CASE and stable; messages are prose and not. The domain is "ocid".
// Functions of values: thread-compatible, nothing blocks.
//
// Source: google/rpc/error_details.proto; protobuf.dev/programming-guides/encoding.
#ifndef OCID_RUNTIME_BASE_ERROR_DETAILS_H_
#define OCID_RUNTIME_BASE_ERROR_DETAILS_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace ocid {

inline constexpr std::string_view kErrorInfoTypeUrl = "type.googleapis.com/google.rpc.ErrorInfo";
inline constexpr std::string_view kBadRequestTypeUrl = "type.googleapis.com/google.rpc.BadRequest";
inline constexpr std::string_view kErrorDomain = "ocid";

using ErrorMetadata = std::map<std::string, std::string>;

struct FieldViolation {
  std::string field;  // a path of the request, or a JSON pointer
  std::string description;

  friend bool operator==(const FieldViolation&, const FieldViolation&) = default;
};

// A status that carries an ErrorInfo. `code` must not be kOk.
absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message,
                       const ErrorMetadata& metadata = {});

// Adds one violation to the status's BadRequest. An OK status stays as it is.
void AddFieldViolation(absl::Status& status, std::string_view field, std::string_view description);

// The reason of the status's ErrorInfo; empty if it has none, or one that does not parse.
std::string GetReason(const absl::Status& status);
ErrorMetadata GetErrorMetadata(const absl::Status& status);
std::vector<FieldViolation> GetFieldViolations(const absl::Status& status);

// The same error with "`prefix`: " before its message; code and details are kept.
absl::Status Annotate(const absl::Status& status, std::string_view prefix);

}  // namespace ocid

#endif  // OCID_RUNTIME_BASE_ERROR_DETAILS_H_
