#include "daemon/store/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

absl::string_view AsAbsl(std::string_view text) { return {text.data(), text.size()}; }

constexpr int kDirectoryFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;

// What stands in `path` before its last component; "." where there is nothing.
std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

int WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

absl::Status WriteNew(BorrowedFd dir, const std::string& path, std::string_view bytes, Sync sync) {
  UniqueFd file(::openat(dir.get(), path.c_str(),
                         O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return FileError(errno, "open", path);
  const int write_error = WriteAll(file.get(), bytes);
  if (write_error != 0) return FileError(write_error, "write", path);
  if (sync == Sync::kDurable) {
    const int result = ::fdatasync(file.get());
    if (result != 0) return FileError(errno, "fdatasync", path);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status FileError(int error, std::string_view what, std::string_view path) {
  const std::string message =
      absl::StrCat(AsAbsl(what), " ", AsAbsl(path), ": ", strerrorname_np(error));
  if (error == ENOENT) {
    return MakeError(absl::StatusCode::kNotFound, "STORE_FAILED", message);
  }
  if (error == ENOSPC || error == EDQUOT) {
    return MakeError(absl::StatusCode::kResourceExhausted, "STORE_FULL", message);
  }
  return MakeError(absl::StatusCode::kInternal, "STORE_FAILED", message);
}

absl::StatusOr<UniqueFd> OpenDirectory(BorrowedFd dir, const std::string& path) {
  UniqueFd fd(::openat(dir.get(), path.c_str(), kDirectoryFlags));
  if (!fd.valid()) return FileError(errno, "open directory", path);
  return fd;
}

absl::StatusOr<UniqueFd> MakeDirectory(BorrowedFd dir, const std::string& path) {
  const int result = ::mkdirat(dir.get(), path.c_str(), 0700);
  if (result != 0 && errno != EEXIST) return FileError(errno, "make directory", path);
  return OpenDirectory(dir, path);
}

absl::StatusOr<std::string> ReadFile(BorrowedFd dir, const std::string& path, size_t max_bytes) {
  // O_NONBLOCK: a FIFO in the place of a file must not hold us up before fstat has told it apart.
  UniqueFd file(
      ::openat(dir.get(), path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file.valid()) return FileError(errno, "open", path);
  struct stat status;
  const int stat_result = ::fstat(file.get(), &status);
  if (stat_result != 0) return FileError(errno, "stat", path);
  if (!S_ISREG(status.st_mode) || static_cast<uint64_t>(status.st_size) > max_bytes) {
    return MakeError(absl::StatusCode::kDataLoss, "RECORD_CORRUPT",
                     absl::StrCat(path, ": not a regular file of at most ", max_bytes, " bytes"));
  }
  std::string bytes(static_cast<size_t>(status.st_size), '\0');
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::read(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileError(errno, "read", path);
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  bytes.resize(filled);
  return bytes;
}

absl::Status ReplaceFile(BorrowedFd dir, const std::string& path, std::string_view bytes,
                         Sync sync) {
  const std::string temporary = absl::StrCat(path, ".tmp");
  absl::Cleanup remove_temporary = [&] { ::unlinkat(dir.get(), temporary.c_str(), 0); };
  const absl::Status written = WriteNew(dir, temporary, bytes, sync);
  if (!written.ok()) return written;
  const int result = ::renameat(dir.get(), temporary.c_str(), dir.get(), path.c_str());
  if (result != 0) return FileError(errno, "rename", temporary);
  std::move(remove_temporary).Cancel();
  if (sync == Sync::kNone) return absl::OkStatus();
  return SyncDirectory(dir, ParentOf(path));
}

absl::Status RemoveFile(BorrowedFd dir, const std::string& path) {
  const int result = ::unlinkat(dir.get(), path.c_str(), 0);
  if (result != 0 && errno != ENOENT) return FileError(errno, "remove", path);
  return absl::OkStatus();
}

absl::Status RemoveTree(BorrowedFd dir, const std::string& path) {
  const absl::StatusOr<std::vector<std::string>> names = ListDirectory(dir, path);
  if (absl::IsNotFound(names.status())) return absl::OkStatus();
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    const std::string child = absl::StrCat(path, "/", name);
    const int result = ::unlinkat(dir.get(), child.c_str(), 0);
    if (result == 0 || errno == ENOENT) continue;
    if (errno != EISDIR) return FileError(errno, "remove", child);
    const absl::Status removed = RemoveTree(dir, child);
    if (!removed.ok()) return removed;
  }
  const int result = ::unlinkat(dir.get(), path.c_str(), AT_REMOVEDIR);
  if (result != 0 && errno != ENOENT) return FileError(errno, "remove directory", path);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ListDirectory(BorrowedFd dir, const std::string& path) {
  absl::StatusOr<UniqueFd> fd = OpenDirectory(dir, path);
  if (!fd.ok()) return fd.status();
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd->get()), ::closedir);
  if (stream == nullptr) return FileError(errno, "read directory", path);
  (void)fd->release();  // the stream owns it now
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* const entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return FileError(errno, "read directory", path);
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status SyncDirectory(BorrowedFd dir, const std::string& path) {
  const absl::StatusOr<UniqueFd> fd = OpenDirectory(dir, path);
  if (!fd.ok()) return fd.status();
  const int result = ::fsync(fd->get());
  if (result != 0) return FileError(errno, "fsync", path);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadBootId() {
  constexpr char kPath[] = "/proc/sys/kernel/random/boot_id";
  const UniqueFd file(::open(kPath, O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return FileError(errno, "open", kPath);
  char bytes[64];
  const ssize_t got = ::read(file.get(), bytes, sizeof(bytes));
  if (got <= 1) return FileError(errno, "read", kPath);
  return std::string(bytes, static_cast<size_t>(got - 1));
}

}  // namespace ocid
