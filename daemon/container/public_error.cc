#include "daemon/container/public_error.h"

#include <string>
#include <string_view>

#include "proto/ocid/v1/error_reason.pb.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

struct Mapping {
  std::string_view reason;         // of the runtime
  std::string_view public_reason;  // of the API
  absl::StatusCode code;           // as error_reason.proto has it
};

using Code = absl::StatusCode;

constexpr Mapping kMappings[] = {
    {"RESOURCE_INVALID", "SPEC_INVALID", Code::kInvalidArgument},
    {"ANNOTATION_INVALID", "SPEC_INVALID", Code::kInvalidArgument},
    {"CGROUP_PATH_INVALID", "SPEC_INVALID", Code::kInvalidArgument},
    {"RESOURCE_REFUSED", "SPEC_UNSUPPORTED", Code::kFailedPrecondition},
    {"CGROUP_TIMEOUT", "UNKILLABLE", Code::kDeadlineExceeded},
    {"CGROUP_IO", "CGROUP_FAILED", Code::kInternal},
    {"SYSTEMD_FAILED", "CGROUP_FAILED", Code::kInternal},
    {"NO_CGROUP", "CONTROLLER_MISSING", Code::kFailedPrecondition},
    {"CGROUP_BUSY", "CGROUP_BUSY", Code::kFailedPrecondition},
    {"SUPERVISOR_GONE", "SUPERVISOR_LOST", Code::kInternal},
};

std::string_view ReasonOfCode(absl::StatusCode code) {
  switch (code) {
    case Code::kInvalidArgument: return "INVALID_REQUEST";
    case Code::kNotFound: return "CONTAINER_NOT_FOUND";
    case Code::kAlreadyExists: return "CONTAINER_EXISTS";
    case Code::kFailedPrecondition: return "INVALID_STATE";
    case Code::kResourceExhausted: return "BUSY";
    case Code::kUnavailable: return "SHUTTING_DOWN";
    case Code::kDeadlineExceeded: return "TIMED_OUT";
    case Code::kUnimplemented: return "NOT_IMPLEMENTED";
    case Code::kDataLoss: return "RECORD_CORRUPT";
    default: return "INTERNAL";
  }
}

absl::Status WithReason(const absl::Status& status, Code code, std::string_view reason) {
  const absl::string_view message = status.message();
  absl::Status mapped = MakeError(code, reason, std::string_view(message.data(), message.size()),
                                  GetErrorMetadata(status));
  for (const FieldViolation& violation : GetFieldViolations(status)) {
    AddFieldViolation(mapped, violation.field, violation.description);
  }
  return mapped;
}

}  // namespace

absl::Status PublicError(const absl::Status& status) {
  if (status.ok() || status.code() == Code::kCancelled) return status;
  const std::string reason = GetReason(status);
  for (const Mapping& mapping : kMappings) {
    if (mapping.reason == reason) return WithReason(status, mapping.code, mapping.public_reason);
  }
  v1::ErrorReason known;
  if (v1::ErrorReason_Parse("ERROR_REASON_" + reason, &known)) return status;
  return WithReason(status, status.code(), ReasonOfCode(status.code()));
}

}  // namespace ocid
