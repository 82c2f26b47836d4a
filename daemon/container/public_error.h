// PublicError: an error of the runtime as the API promises it.
//
// The runtime's libraries have reasons of their own (CGROUP_TIMEOUT, SUPERVISOR_GONE, ...), more of
// them than a caller can act on. This maps them to those of proto/ocid/v1/error_reason.proto, and gives
// an error without a reason the one of its code. Message, metadata and field violations stay. Pure.
#ifndef OCID_DAEMON_CONTAINER_PUBLIC_ERROR_H_
#define OCID_DAEMON_CONTAINER_PUBLIC_ERROR_H_

#include "absl/status/status.h"

namespace ocid {

absl::Status PublicError(const absl::Status& status);

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_PUBLIC_ERROR_H_
