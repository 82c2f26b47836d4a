// absl::Status on our side, grpc::Status with google.rpc details on the wire.
//
// A payload whose type URL names a google.rpc message is one detail, byte for byte, both ways (see
// runtime/base/error_details.h). Every error leaves with a google.rpc.ErrorInfo: one that came
// without a reason gets the general one of its code.
//
// Details travel in HTTP/2 trailers, for which gRPC's clients take 8 KiB and fail the call with an
// error of their own beyond. A status that would not fit is shortened, details last to first:
// entries of BadRequest go first, with a last entry saying how many; then long values of
// ErrorInfo's metadata; then the message.
//
// Pure functions; thread-safe; nothing blocks.
// Source: grpc.io/docs/guides/error (richer error model); google/rpc/status.proto.
#ifndef OCID_DAEMON_API_STATUS_CODEC_H_
#define OCID_DAEMON_API_STATUS_CODEC_H_

#include <cstddef>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/support/status.h"

namespace ocid {

// What message and details may take of the trailers, encoded.
inline constexpr size_t kMaxEncodedStatusBytes = 7000;

grpc::Status EncodeStatus(const absl::Status& status);

// The other way; details that do not parse are dropped.
absl::Status DecodeStatus(const grpc::Status& status);

// Adds a google.rpc.RetryInfo.
void AddRetryInfo(absl::Status& status, absl::Duration delay);

// Adds a google.rpc.ResourceInfo: `type` such as "ocid.v1.Container".
void AddResourceInfo(absl::Status& status, std::string_view type, std::string_view name);

// UNIMPLEMENTED, NOT_IMPLEMENTED, with metadata "feature" and what it waits for in words.
absl::Status NotImplemented(std::string_view feature, std::string_view words);

// UNAVAILABLE, SHUTTING_DOWN.
absl::Status ShuttingDown();

}  // namespace ocid

#endif  // OCID_DAEMON_API_STATUS_CODEC_H_
