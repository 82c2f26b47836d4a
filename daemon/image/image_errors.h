// The errors of the image store, each with its reason from proto/ocid/v1/error_reason.proto.
//
// Pure functions; nothing blocks.
#ifndef OCID_DAEMON_IMAGE_IMAGE_ERRORS_H_
#define OCID_DAEMON_IMAGE_IMAGE_ERRORS_H_

#include <string_view>

#include "absl/status/status.h"

namespace ocid {

// INVALID_ARGUMENT, IMAGE_INVALID: content that is not what it must be.
absl::Status ImageInvalid(std::string_view message);

// NOT_FOUND, IMAGE_NOT_FOUND.
absl::Status ImageNotFound(std::string_view name);

// FAILED_PRECONDITION, IMAGE_IN_USE.
absl::Status ImageInUse(std::string_view message);

// A system call on the store's own files failed: "`what`: `errno text`". RESOURCE_EXHAUSTED,
// STORE_FULL for ENOSPC and EDQUOT, else INTERNAL, STORE_FAILED.
absl::Status StoreFailed(std::string_view what, int error_number);

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_IMAGE_ERRORS_H_
