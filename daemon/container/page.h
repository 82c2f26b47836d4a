// Pages of lists: sizes and tokens.
//
// A token names the last id of the page before and a digest of the list's other arguments, which must
// be the same for the next page. Pure; thread-safe.
#ifndef OCID_DAEMON_CONTAINER_PAGE_H_
#define OCID_DAEMON_CONTAINER_PAGE_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace ocid {

// 0: 100. At most 1000. Negative: INVALID_ARGUMENT, INVALID_REQUEST.
absl::StatusOr<size_t> PageSize(int requested);

std::string MakePageToken(std::string_view last_id, std::string_view arguments);

// The id to go on behind; empty for an empty token. INVALID_ARGUMENT, INVALID_PAGE_TOKEN for what
// MakePageToken did not make, or made for other arguments.
absl::StatusOr<std::string> ParsePageToken(std::string_view token, std::string_view arguments);

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_PAGE_H_
