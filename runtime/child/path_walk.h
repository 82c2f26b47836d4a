// Walks and makes paths inside a container's root by descriptor.
//
// The tree is hostile: it may hold any symlink, and others may change it while we look. openat2(2)
// with RESOLVE_IN_ROOT keeps every lookup inside; what is made is made by name in a directory that
// such a lookup returned.
#ifndef OCID_RUNTIME_CHILD_PATH_WALK_H_
#define OCID_RUNTIME_CHILD_PATH_WALK_H_

#include <cstdint>

#include "runtime/base/raw_syscall.h"

namespace ocid {

enum class MissingPath { kFail, kMakeDirectory, kMakeFile };

struct WalkOptions {
  MissingPath missing = MissingPath::kFail;
  bool no_symlinks = false;
  uint32_t directory_mode = 0755;
};

// openat2(2) relative to `root`, never outside of it, without magic links, close-on-exec; retried
// where a concurrent rename made the kernel give up. Negative: -errno.
long OpenInRoot(int root, const char* path, uint64_t flags, bool no_symlinks = false);

// An O_PATH descriptor of `path` below `root`. What is missing on the way is made if the options
// say so; dangling symlinks are followed, inside the root, to what they would name.
raw::Fd WalkPath(int root, const char* path, const WalkOptions& options);

}  // namespace ocid

#endif  // OCID_RUNTIME_CHILD_PATH_WALK_H_
