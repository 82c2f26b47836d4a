// Who an image's "User" is: names looked up in the image's own /etc/passwd and /etc/group.
//
// These files are the image's, so hostile: they are opened below the root by descriptor, only where
// they are regular and small, and their lines are taken only where they are well-formed. A FIFO or a
// device is never opened for reading (CVE-2024-9676).
//
// A number is a number, whatever names there are (CVE-2024-40635: "4294967296" must not become 0, nor
// a name of passwd). Ids are 0 to 2^31-1, as other runtimes have them. A number takes no supplementary
// groups; a name without a group takes its own. An unknown name is an error, never root.
//
// Errors: IMAGE_INVALID, StoreFailed. ReadAccountFile blocks on the disk; the rest is pure.
// Sources: image-spec config.md and conversion.md, "User"; passwd(5), group(5).
#ifndef OCID_DAEMON_IMAGE_USER_LOOKUP_H_
#define OCID_DAEMON_IMAGE_USER_LOOKUP_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

inline constexpr size_t kMaxAccountFileBytes = size_t{1} << 20;

// The text of a file below `root`; nothing where there is none, or none that may be read: not regular,
// or larger than kMaxAccountFileBytes.
absl::StatusOr<std::optional<std::string>> ReadAccountFile(BorrowedFd root,
                                                           const std::string& path);

struct ResolvedUser {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> additional_gids;  // ascending, without `gid`
  std::string home;                       // empty: unknown

  friend bool operator==(const ResolvedUser&, const ResolvedUser&) = default;
};

// `user`: "", "USER", "UID", "USER:GROUP" and so on. `passwd`, `group`: texts, where there are any.
absl::StatusOr<ResolvedUser> ResolveUser(std::string_view user,
                                         const std::optional<std::string>& passwd,
                                         const std::optional<std::string>& group);

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_USER_LOOKUP_H_
