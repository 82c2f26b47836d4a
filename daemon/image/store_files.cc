#include "daemon/image/store_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <set>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "daemon/image/image_errors.h"

namespace ocid {
namespace {

struct CloseDir {
  void operator()(DIR* stream) const { closedir(stream); }
};
using DirStream = std::unique_ptr<DIR, CloseDir>;

// A stream with a position of its own: a duplicate would share it.
DirStream OpenStream(int directory) {
  UniqueFd fd(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return nullptr;
  DIR* stream = fdopendir(fd.get());
  if (stream != nullptr) static_cast<void>(fd.release());
  return DirStream(stream);
}

bool IsDotName(std::string_view name) { return name == "." || name == ".."; }

// A tree from an image may be deeper than there are descriptors, so recursion ends at kMaxDepth: what
// lies below is renamed into the top directory, where the next pass finds it.
constexpr int kMaxDepth = 256;

struct TreeRemoval {
  int top;
  uint64_t moved = 0;
};

absl::Status EmptyDirectory(TreeRemoval& removal, int directory, int depth) {
  // Names first: what readdir(3) returns while the directory shrinks is unspecified.
  absl::StatusOr<std::vector<std::string>> names = ListDirectory(BorrowedFd(directory));
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) continue;
    if (errno != EISDIR && errno != EPERM) return StoreFailed("unlink " + name, errno);
    if (depth == kMaxDepth) {
      const std::string shallow = ".deep." + std::to_string(removal.moved++);
      if (renameat2(directory, name.c_str(), removal.top, shallow.c_str(), RENAME_NOREPLACE) != 0 &&
          errno != EEXIST) {
        return StoreFailed("rename " + name, errno);
      }
      continue;
    }
    UniqueFd child(OpenAt2(directory, name.c_str(),
                           O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0,
                           RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV));
    if (!child.valid()) return StoreFailed("open " + name, errno);
    absl::Status emptied = EmptyDirectory(removal, child.get(), depth + 1);
    if (!emptied.ok()) return emptied;
    if (unlinkat(directory, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT &&
        errno != ENOTEMPTY) {
      return StoreFailed("rmdir " + name, errno);
    }
  }
  return absl::OkStatus();
}

absl::Status AddUsage(int directory, int depth, std::set<std::pair<dev_t, ino_t>>& links, uint64_t& bytes) {
  absl::StatusOr<std::vector<std::string>> names = ListDirectory(BorrowedFd(directory));
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    struct stat entry;
    if (fstatat(directory, name.c_str(), &entry, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (entry.st_nlink > 1 && !S_ISDIR(entry.st_mode) &&
        !links.emplace(entry.st_dev, entry.st_ino).second) {
      continue;
    }
    bytes += static_cast<uint64_t>(entry.st_blocks) * 512;
    if (!S_ISDIR(entry.st_mode) || depth == kMaxDepth) continue;
    UniqueFd child(openat(directory, name.c_str(),
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child.valid()) continue;
    absl::Status added = AddUsage(child.get(), depth + 1, links, bytes);
    if (!added.ok()) return added;
  }
  return absl::OkStatus();
}

}  // namespace

int OpenAt2(int directory, const char* path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  open_how how = {};
  how.flags = flags;
  how.mode = mode;
  how.resolve = resolve;
  for (;;) {
    const long fd = syscall(SYS_openat2, directory, path, &how, sizeof(how));
    // EAGAIN: a rename somewhere raced with ".." in the walk; openat2(2) says to try again.
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) return static_cast<int>(fd);
  }
}

absl::StatusOr<UniqueFd> OpenOrMakeDirectory(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.valid()) return fd;
  if (errno != ENOENT) return StoreFailed("open " + path, errno);
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string prefix = path.substr(0, end);
    if (mkdir(prefix.c_str(), 0700) != 0 && errno != EEXIST) {
      return StoreFailed("mkdir " + prefix, errno);
    }
    if (end == std::string::npos) break;
  }
  fd.reset(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return StoreFailed("open " + path, errno);
  return fd;
}

absl::StatusOr<UniqueFd> OpenOrMakeDirectoryAt(BorrowedFd directory, const std::string& name) {
  if (mkdirat(directory.get(), name.c_str(), 0700) != 0 && errno != EEXIST) {
    return StoreFailed("mkdir " + name, errno);
  }
  UniqueFd fd(openat(directory.get(), name.c_str(),
                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return StoreFailed("open " + name, errno);
  return fd;
}

absl::Status WriteAll(BorrowedFd file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(file.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return StoreFailed("write", errno);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadAll(BorrowedFd file, uint64_t limit_bytes, std::string_view what) {
  struct stat info;
  if (fstat(file.get(), &info) != 0) return StoreFailed("stat " + std::string(what), errno);
  if (!S_ISREG(info.st_mode)) return ImageInvalid(std::string(what) + ": not a regular file");
  const auto too_large = [&] {
    return ImageInvalid(std::string(what) + ": larger than " + std::to_string(limit_bytes) +
                        " bytes");
  };
  if (static_cast<uint64_t>(info.st_size) > limit_bytes) return too_large();
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = pread(file.get(), bytes.data() + done, bytes.size() - done,
                                static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return StoreFailed("read " + std::string(what), errno);
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  bytes.resize(done);
  return bytes;
}

absl::Status SyncDirectory(BorrowedFd directory) {
  if (fsync(directory.get()) != 0) return StoreFailed("fsync of a directory", errno);
  return absl::OkStatus();
}

absl::Status ReplaceDurably(BorrowedFd directory, const std::string& name,
                            std::string_view bytes) {
  static std::atomic<uint64_t> counter = 0;
  const std::string temporary =
      "." + name + ".tmp." + std::to_string(getpid()) + "." + std::to_string(counter++);
  UniqueFd file(openat(directory.get(), temporary.c_str(),
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) return StoreFailed("create " + temporary, errno);
  absl::Cleanup remove_temporary = [&] { unlinkat(directory.get(), temporary.c_str(), 0); };
  absl::Status written = WriteAll(file, bytes);
  if (!written.ok()) return written;
  if (fsync(file.get()) != 0) return StoreFailed("fsync " + temporary, errno);
  if (renameat(directory.get(), temporary.c_str(), directory.get(), name.c_str()) != 0) {
    return StoreFailed("rename " + temporary, errno);
  }
  std::move(remove_temporary).Cancel();
  return SyncDirectory(directory);
}

absl::StatusOr<std::vector<std::string>> ListDirectory(BorrowedFd directory) {
  DirStream stream = OpenStream(directory.get());
  if (stream == nullptr) return StoreFailed("open a directory", errno);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(stream.get())) {
    if (!IsDotName(entry->d_name)) names.emplace_back(entry->d_name);
    errno = 0;
  }
  if (errno != 0) return StoreFailed("read a directory", errno);
  return names;
}

absl::Status RemoveTreeAt(BorrowedFd directory, const std::string& name) {
  if (unlinkat(directory.get(), name.c_str(), 0) == 0 || errno == ENOENT) return absl::OkStatus();
  if (errno != EISDIR && errno != EPERM) return StoreFailed("unlink " + name, errno);
  UniqueFd tree(openat(directory.get(), name.c_str(),
                       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!tree.valid()) return StoreFailed("open " + name, errno);
  TreeRemoval removal{.top = tree.get()};
  for (;;) {
    const uint64_t moved_before = removal.moved;
    absl::Status emptied = EmptyDirectory(removal, tree.get(), /*depth=*/0);
    if (!emptied.ok()) return emptied;
    if (removal.moved == moved_before) break;
  }
  if (unlinkat(directory.get(), name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return StoreFailed("rmdir " + name, errno);
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> DiskUsage(BorrowedFd directory) {
  std::set<std::pair<dev_t, ino_t>> links;
  uint64_t bytes = 0;
  absl::Status added = AddUsage(directory.get(), /*depth=*/0, links, bytes);
  if (!added.ok()) return added;
  return bytes;
}

}  // namespace ocid
