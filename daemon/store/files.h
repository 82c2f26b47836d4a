// Files of the daemon's own directories: read whole, replaced atomically, removed with what is below.
//
// Paths are relative to a directory's descriptor and made by this program alone; nothing here is for
// paths from outside. Thread-safe (functions of descriptors). All block on the disk; with
// Sync::kDurable until the disk has it.
//
// Errors name the file and the errno, with reason STORE_FULL (RESOURCE_EXHAUSTED) for ENOSPC and
// EDQUOT, else STORE_FAILED (INTERNAL); a missing file is NOT_FOUND.
#ifndef OCID_DAEMON_STORE_FILES_H_
#define OCID_DAEMON_STORE_FILES_H_

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

enum class Sync {
  kNone,     // atomic for whoever looks, and for a crash of any process
  kDurable,  // and for a loss of power
};

absl::Status FileError(int error, std::string_view what, std::string_view path);

absl::StatusOr<UniqueFd> OpenDirectory(BorrowedFd dir, const std::string& path);
// Makes it with mode 0700 where it is missing.
absl::StatusOr<UniqueFd> MakeDirectory(BorrowedFd dir, const std::string& path);

// A regular file of at most `max_bytes`; a larger one is refused unread, DATA_LOSS.
absl::StatusOr<std::string> ReadFile(BorrowedFd dir, const std::string& path, size_t max_bytes);

// Writes `path`.tmp and renames it, so that `path` has the old bytes or the new, never a part. Mode
// 0600. On failure the old file stands.
absl::Status ReplaceFile(BorrowedFd dir, const std::string& path, std::string_view bytes, Sync sync);

// A file that is missing already is no error, here and below.
absl::Status RemoveFile(BorrowedFd dir, const std::string& path);
// The directory and all below it. Follows no symbolic link.
absl::Status RemoveTree(BorrowedFd dir, const std::string& path);

// Names in a directory, sorted, without "." and "..".
absl::StatusOr<std::vector<std::string>> ListDirectory(BorrowedFd dir, const std::string& path);

absl::Status SyncDirectory(BorrowedFd dir, const std::string& path);

// Of this boot of the host: random(4), /proc/sys/kernel/random/boot_id.
absl::StatusOr<std::string> ReadBootId();

}  // namespace ocid

#endif  // OCID_DAEMON_STORE_FILES_H_
