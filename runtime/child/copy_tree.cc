#include "runtime/child/copy_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>

#include <cstdint>

#include "runtime/base/raw_syscall.h"

namespace ocid {
namespace {

// Each level costs two descriptors and some stack.
constexpr int kMaxDepth = 128;
constexpr size_t kEntryBytes = 4096;

// getdents64(2).
struct Entry {
  uint64_t inode;
  int64_t offset;
  uint16_t size;
  uint8_t type;
  char name[1];  // and on to its byte 0
};

long CopyBytes(int from, int to) {
  for (;;) {
    const long copied = raw::Retry(SYS_sendfile, to, from, nullptr, 1 << 20);
    if (copied <= 0) return copied;
  }
}

// Owner before mode: chown(2) clears set-user-ID bits.
long CopyOwner(const struct stat& info, int directory, const char* name, bool is_symlink) {
  const long owned = raw::Call(SYS_fchownat, directory, name, info.st_uid, info.st_gid,
                               AT_SYMLINK_NOFOLLOW | (*name == '\0' ? AT_EMPTY_PATH : 0));
  if (owned < 0) return owned;
  const timespec times[2] = {info.st_atim, info.st_mtim};
  if (*name != '\0') raw::Call(SYS_utimensat, directory, name, times, AT_SYMLINK_NOFOLLOW);
  if (is_symlink) return 0;
  return *name == '\0' ? raw::Call(SYS_fchmod, directory, info.st_mode & 07777)
                       : raw::Call(SYS_fchmodat, directory, name, info.st_mode & 07777);
}

long OpenBeneath(int directory, const char* name, uint64_t flags) {
  open_how how = {};
  how.flags = flags | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  return raw::Call(SYS_openat2, directory, name, &how, sizeof(how));
}

long CopyFile(int from, int to, const char* name, const struct stat& info) {
  const raw::Fd source(OpenBeneath(from, name, O_RDONLY | O_NONBLOCK));
  if (!source.ok()) return -source.error();
  struct stat opened = {};
  const long known = raw::Call(SYS_fstat, source.get(), &opened);
  if (known < 0) return known;
  if (!S_ISREG(opened.st_mode)) return -EAGAIN;  // swapped while we looked
  const raw::Fd copy(raw::Call(SYS_openat, to, name,
                               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!copy.ok()) return -copy.error();
  const long copied = CopyBytes(source.get(), copy.get());
  return copied < 0 ? copied : CopyOwner(info, to, name, false);
}

long CopySymlink(int from, int to, const char* name, const struct stat& info) {
  char target[PATH_MAX];
  const long size = raw::Call(SYS_readlinkat, from, name, target, sizeof(target) - 1);
  if (size < 0) return size;
  target[size] = '\0';
  const long made = raw::Call(SYS_symlinkat, target, to, name);
  return made < 0 ? made : CopyOwner(info, to, name, true);
}

long CopyNode(int to, const char* name, const struct stat& info) {
  const long made = raw::Call(SYS_mknodat, to, name, info.st_mode & (S_IFMT | 07777), info.st_rdev);
  // No user namespace may make devices.
  if (made == -EPERM) return 0;
  return made < 0 ? made : CopyOwner(info, to, name, false);
}

long CopyDirectory(int from, int to, int depth);

long CopySubdirectory(int from, int to, const char* name, const struct stat& info, int depth) {
  const raw::Fd source(OpenBeneath(from, name, O_RDONLY | O_DIRECTORY));
  // Something is mounted there.
  if (source.error() == EXDEV) return 0;
  if (!source.ok()) return -source.error();
  const long made = raw::Call(SYS_mkdirat, to, name, 0700);
  if (made < 0) return made;
  const raw::Fd copy(OpenBeneath(to, name, O_RDONLY | O_DIRECTORY));
  if (!copy.ok()) return -copy.error();
  const long copied = CopyDirectory(source.get(), copy.get(), depth + 1);
  return copied < 0 ? copied : CopyOwner(info, to, name, false);
}

long CopyEntry(int from, int to, const char* name, int depth) {
  struct stat info = {};
  const long known = raw::Call(SYS_newfstatat, from, name, &info, AT_SYMLINK_NOFOLLOW);
  if (known == -ENOENT) return 0;
  if (known < 0) return known;
  switch (info.st_mode & S_IFMT) {
    case S_IFDIR:
      return CopySubdirectory(from, to, name, info, depth);
    case S_IFREG:
      return CopyFile(from, to, name, info);
    case S_IFLNK:
      return CopySymlink(from, to, name, info);
    case S_IFSOCK:
      return 0;
    default:
      return CopyNode(to, name, info);
  }
}

bool IsDot(const char* name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

long CopyDirectory(int from, int to, int depth) {
  if (depth > kMaxDepth) return -ELOOP;
  for (;;) {
    alignas(Entry) char bytes[kEntryBytes];
    const long size = raw::Call(SYS_getdents64, from, bytes, sizeof(bytes));
    if (size <= 0) return size;
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const Entry*>(bytes + at);
      at += entry->size;
      if (IsDot(entry->name)) continue;
      const long copied = CopyEntry(from, to, entry->name, depth);
      if (copied < 0) return copied;
    }
  }
}

}  // namespace

long CopyTree(int source, int target) {
  const raw::Fd from(raw::Call(SYS_openat, source, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!from.ok()) return -from.error();
  const raw::Fd to(raw::Call(SYS_openat, target, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!to.ok()) return -to.error();
  const long copied = CopyDirectory(from.get(), to.get(), 0);
  if (copied < 0) return copied;
  struct stat info = {};
  const long known = raw::Call(SYS_fstat, from.get(), &info);
  return known < 0 ? known : raw::Call(SYS_fchown, to.get(), info.st_uid, info.st_gid);
}

}  // namespace ocid
