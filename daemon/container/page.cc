#include "daemon/container/page.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "daemon/base/crc32c.h"
#include "daemon/store/store_layout.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;
constexpr size_t kDigestLength = 8;

std::string DigestOf(std::string_view arguments) {
  return absl::StrFormat("%08x", Crc32c(arguments));
}

}  // namespace

absl::StatusOr<size_t> PageSize(int requested) {
  if (requested < 0) {
    absl::Status error = MakeError(absl::StatusCode::kInvalidArgument, "INVALID_REQUEST",
                                   "page_size: negative");
    AddFieldViolation(error, "page_size", "negative");
    return error;
  }
  if (requested == 0) requested = kDefaultPageSize;
  return static_cast<size_t>(std::min(requested, kMaxPageSize));
}

std::string MakePageToken(std::string_view last_id, std::string_view arguments) {
  return absl::WebSafeBase64Escape(DigestOf(arguments) + std::string(last_id));
}

absl::StatusOr<std::string> ParsePageToken(std::string_view token, std::string_view arguments) {
  if (token.empty()) return std::string();
  std::string text;
  const bool decoded =
      absl::WebSafeBase64Unescape(absl::string_view(token.data(), token.size()), &text);
  if (!decoded || text.size() <= kDigestLength || !IsValidId(text.substr(kDigestLength))) {
    return MakeError(absl::StatusCode::kInvalidArgument, "INVALID_PAGE_TOKEN",
                     "page_token: not one of this list's");
  }
  if (text.substr(0, kDigestLength) != DigestOf(arguments)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "INVALID_PAGE_TOKEN",
                     "page_token: of a list with other arguments");
  }
  return text.substr(kDigestLength);
}

}  // namespace ocid
