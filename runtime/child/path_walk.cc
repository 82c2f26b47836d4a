#include "runtime/child/path_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>

namespace ocid {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel's own MAXSYMLINKS
constexpr int kMaxRaces = 128;

// A path that is taken apart and, at a dangling symlink, rewritten.
class PathBuffer {
 public:
  bool Set(const char* path) {
    size_ = strnlen(path, sizeof(text_));
    if (size_ >= sizeof(text_)) return false;
    memcpy(text_, path, size_ + 1);
    return true;
  }

  // Finds the component after `from`; false at the end of the path.
  bool Next(size_t from, size_t* begin, size_t* end) const {
    while (text_[from] == '/') ++from;
    *begin = from;
    while (text_[from] != '\0' && text_[from] != '/') ++from;
    *end = from;
    return *begin != *end;
  }

  // Replaces the component [begin, end) by a link's target.
  bool Splice(size_t begin, size_t end, const char* target, size_t target_size) {
    const size_t kept = target_size > 0 && target[0] == '/' ? 0 : begin;
    const size_t rest = size_ - end;
    if (kept + target_size + rest >= sizeof(text_)) return false;
    memmove(text_ + kept + target_size, text_ + end, rest + 1);
    memcpy(text_ + kept, target, target_size);
    size_ = kept + target_size + rest;
    return true;
  }

  char* text() { return text_; }

 private:
  char text_[PATH_MAX];
  size_t size_ = 0;
};

long Make(int directory, const char* name, bool as_file, uint32_t directory_mode) {
  if (!as_file) return raw::Call(SYS_mkdirat, directory, name, directory_mode);
  const long fd = raw::Call(SYS_openat, directory, name,
                            O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0644);
  if (fd < 0) return fd;
  raw::Close(static_cast<int>(fd));
  return 0;
}

long MakeWalk(int root, const char* path, const WalkOptions& options) {
  PathBuffer buffer;
  if (!buffer.Set(path)) return -ENAMETOOLONG;
  raw::Fd current(OpenInRoot(root, "/", O_PATH | O_DIRECTORY));
  if (!current.ok()) return -current.error();
  char* text = buffer.text();
  size_t begin = 0;
  size_t end = 0;
  int links = 0;
  int races = 0;
  while (buffer.Next(end, &begin, &end)) {
    const char separator = text[end];
    text[end] = '\0';
    raw::Fd next(OpenInRoot(root, text, O_PATH, options.no_symlinks));
    if (next.error() == ENOENT) {
      const bool as_file = options.missing == MissingPath::kMakeFile && separator == '\0';
      const char* name = text + begin;
      const long made = Make(current.get(), name, as_file, options.directory_mode);
      if (made == -EEXIST) {
        // A symlink to nothing, or somebody made it meanwhile.
        char target[PATH_MAX];
        const long size = raw::Call(SYS_readlinkat, current.get(), name, target, sizeof(target));
        if (size == -EINVAL || size == -ENOENT) {
          if (++races > kMaxRaces) return -EAGAIN;
          text[end] = separator;
          end = begin;
          continue;
        }
        if (size < 0) return size;
        if (options.no_symlinks || ++links > kMaxLinks) return -ELOOP;
        text[end] = separator;
        if (!buffer.Splice(begin, end, target, static_cast<size_t>(size))) return -ENAMETOOLONG;
        current = raw::Fd(OpenInRoot(root, "/", O_PATH | O_DIRECTORY));
        if (!current.ok()) return -current.error();
        end = 0;
        continue;
      }
      if (made < 0) return made;
      next = raw::Fd(raw::Call(SYS_openat, current.get(), name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    }
    if (!next.ok()) return -next.error();
    text[end] = separator;
    current = static_cast<raw::Fd&&>(next);
  }
  return current.release();
}

}  // namespace

long OpenInRoot(int root, const char* path, uint64_t flags, bool no_symlinks) {
  open_how how = {};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  if (no_symlinks) how.resolve |= RESOLVE_NO_SYMLINKS;
  long fd = -EAGAIN;
  for (int i = 0; i < kMaxRaces && (fd == -EAGAIN || fd == -EINTR); ++i) {
    fd = raw::Call(SYS_openat2, root, path, &how, sizeof(how));
  }
  return fd;
}

raw::Fd WalkPath(int root, const char* path, const WalkOptions& options) {
  const long fd = OpenInRoot(root, path, O_PATH, options.no_symlinks);
  if (fd != -ENOENT || options.missing == MissingPath::kFail) return raw::Fd(fd);
  return raw::Fd(MakeWalk(root, path, options));
}

}  // namespace ocid
