// The few file operations that the image store is made of, by descriptor: bounded reads, durable
// replacement, removal of trees.
//
// Paths given here are names of the store's own making, or are opened with RESOLVE_BENEATH and
// RESOLVE_NO_SYMLINKS. Errors: StoreFailed (image_errors.h) unless a function says otherwise.
// Thread-safe; every call blocks on the disk.
#ifndef OCID_DAEMON_IMAGE_STORE_FILES_H_
#define OCID_DAEMON_IMAGE_STORE_FILES_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

// openat2(2) without its wrapper, which glibc 2.36 does not have. -1 with errno.
int OpenAt2(int directory, const char* path, uint64_t flags, uint64_t mode, uint64_t resolve);

// Opens a directory by absolute path, making it and its missing parents with mode 0700.
absl::StatusOr<UniqueFd> OpenOrMakeDirectory(const std::string& path);
// The same for one name in a directory.
absl::StatusOr<UniqueFd> OpenOrMakeDirectoryAt(BorrowedFd directory, const std::string& name);

absl::Status WriteAll(BorrowedFd file, std::string_view bytes);

// The whole of an open regular file. INVALID_ARGUMENT, IMAGE_INVALID beyond `limit_bytes`.
absl::StatusOr<std::string> ReadAll(BorrowedFd file, uint64_t limit_bytes, std::string_view what);

// Makes `name` hold `bytes`, whatever crashes: temporary file, fsync, rename, fsync of the directory.
absl::Status ReplaceDurably(BorrowedFd directory, const std::string& name, std::string_view bytes);

absl::Status SyncDirectory(BorrowedFd directory);

// Names in a directory, without "." and "..", in no order.
absl::StatusOr<std::vector<std::string>> ListDirectory(BorrowedFd directory);

// Removes a file or a whole tree; what is not there is no error. Follows no symbolic link and
// crosses no mount.
absl::Status RemoveTreeAt(BorrowedFd directory, const std::string& name);

// Bytes on disk of a tree: blocks, hard links once, and 256 levels deep at most.
absl::StatusOr<uint64_t> DiskUsage(BorrowedFd directory);

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_STORE_FILES_H_
