#include "daemon/image/image_errors.h"

#include <cerrno>
#include <cstring>
#include <string>

#include "runtime/base/error_details.h"

namespace ocid {

absl::Status ImageInvalid(std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "IMAGE_INVALID", message);
}

absl::Status ImageNotFound(std::string_view name) {
  return MakeError(absl::StatusCode::kNotFound, "IMAGE_NOT_FOUND",
                   "no image named \"" + std::string(name) + "\"", {{"image", std::string(name)}});
}

absl::Status ImageInUse(std::string_view message) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "IMAGE_IN_USE", message);
}

absl::Status StoreFailed(std::string_view what, int error_number) {
  const bool full = error_number == ENOSPC || error_number == EDQUOT;
  const char* name = strerrorname_np(error_number);
  return MakeError(full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kInternal,
                   full ? "STORE_FULL" : "STORE_FAILED",
                   std::string(what) + ": " + (name != nullptr ? name : "unknown error"),
                   {{"errno", name != nullptr ? name : std::to_string(error_number)}});
}

}  // namespace ocid
