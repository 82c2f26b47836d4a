// What a call to the daemon failed with, decoded.
//
// A failed call returns an absl::Status with the daemon's code and message and, as payloads, the
// google.rpc details that came with them, each under its own type URL and in its own encoding.
// DecodeError() reads them into plain fields:
//
//   auto container = client->containers().Create(request);
//   if (!container.ok() && DecodeError(container.status()).reason == "CONTAINER_EXISTS") ...
//
// Reasons are the values of proto/ocid/v1/error_reason.proto without their prefix. An UNAVAILABLE
// without a reason is gRPC's own: nobody answered at the address.
//
// Functions of values: thread-compatible, nothing blocks.
// Source: google/rpc/status.proto and google/rpc/error_details.proto.
#ifndef OCID_CLIENT_ERROR_H_
#define OCID_CLIENT_ERROR_H_

#include <grpcpp/support/status.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace ocid {

struct ApiError {
  struct FieldViolation {
    std::string field;  // a path of the request, or a JSON pointer into a spec
    std::string description;
  };
  struct PreconditionViolation {
    std::string type;
    std::string subject;
    std::string description;
  };

  absl::StatusCode code = absl::StatusCode::kUnknown;
  std::string message;
  std::string reason;  // empty: none came
  std::string domain;
  std::map<std::string, std::string> metadata;
  std::vector<FieldViolation> field_violations;
  std::vector<PreconditionViolation> precondition_violations;
  std::optional<absl::Duration> retry_delay;
};

// A detail that does not parse is left out. `status` must not be OK.
ApiError DecodeError(const absl::Status& status);

// The same code and message, with every detail of grpc-status-details-bin as a payload.
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace ocid

#endif  // OCID_CLIENT_ERROR_H_
