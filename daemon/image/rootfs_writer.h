// RootfsWriter: makes the entries of one layer in a directory that becomes, or is, a container's root.
//
// Everything about an entry is hostile: its name, where a symbolic link of an earlier entry leads,
// what a hard link names. So no path is ever used as a string from the host's root: parents are opened
// with openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV) below the root's
// descriptor, where "/" and ".." of links mean the container's root, and the last component is made
// with O_EXCL or removed first, never followed.
//
// What an entry replaces, whiteouts remove, and in which order, follows image-spec layer.md; where
// that is silent, umoci: a directory keeps its time when a layer only changes what is in it, a later
// entry of one name wins, and a whiteout leaves alone what its own layer has made.
//
// One writer writes one layer; on one thread. Every call blocks on the disk. Errors: IMAGE_INVALID for
// what a layer must not have, StoreFailed for the disk's own.
#ifndef OCID_DAEMON_IMAGE_ROOTFS_WRITER_H_
#define OCID_DAEMON_IMAGE_ROOTFS_WRITER_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

struct EntryAttributes {
  mode_t mode = 0;  // permissions with setuid, setgid and sticky
  uint64_t uid = 0;
  uint64_t gid = 0;
  timespec mtime = {};
  std::vector<std::pair<std::string, std::string>> xattrs;
};

// Ids of the one user that a rootless tree belongs to.
struct RootlessOwner {
  uid_t uid = 0;
  gid_t gid = 0;
};

// The path of an entry below the root: no leading or trailing "/", no "." components; "" is the root.
// IMAGE_INVALID for "..", for a component of more than 255 bytes and for more than 4095 in all.
absl::StatusOr<std::string> NormalizeEntryPath(std::string_view path);

class RootfsWriter {
 public:
  // `root` must outlive the writer. With an owner, every id becomes that one, and devices become empty
  // files, as a user without privileges would have it.
  RootfsWriter(BorrowedFd root, std::optional<RootlessOwner> owner)
      : root_(root), owner_(owner) {}

  // Paths are as NormalizeEntryPath has them.
  absl::Status MakeDirectory(const std::string& path, const EntryAttributes& attributes);
  // An empty file, to be written through the descriptor; then FinishFile.
  absl::StatusOr<UniqueFd> CreateFile(const std::string& path);
  absl::Status FinishFile(BorrowedFd file, const EntryAttributes& attributes);
  absl::Status MakeSymlink(const std::string& path, const std::string& target,
                           const EntryAttributes& attributes);
  // `target` is a path of an entry, in this layer or below.
  absl::Status MakeHardLink(const std::string& path, const std::string& target);
  // `type`: S_IFCHR, S_IFBLK or S_IFIFO.
  absl::Status MakeNode(const std::string& path, mode_t type, dev_t device,
                        const EntryAttributes& attributes);

  // Removes what lower layers have at `path`; nothing there is no error.
  absl::Status RemoveLower(const std::string& path);
  // Removes what lower layers have in the directory `path`.
  absl::Status RemoveLowerContents(const std::string& path);

  // Sets the modes and times of directories, which had to wait until nothing in them changes.
  absl::Status Finish();

  // Extended attributes that this file system cannot keep.
  uint64_t dropped_xattrs() const { return dropped_xattrs_; }

 private:
  // What a directory gets at the end.
  struct Pending {
    std::optional<mode_t> mode;
    timespec mtime = {};
  };

  absl::StatusOr<BorrowedFd> OpenParent(const std::string& path);
  absl::StatusOr<UniqueFd> OpenDirectory(const std::string& path, int depth);
  absl::StatusOr<UniqueFd> FollowDangling(const std::string& path, int depth);
  // Removes whatever is at the path, and what is remembered about it.
  absl::Status RemoveAny(BorrowedFd parent, const std::string& path);
  absl::Status RemoveLowerIn(BorrowedFd directory, const std::string& path, int depth);
  void NoteCreated(const std::string& path);
  void NoteTouched(const std::string& directory, BorrowedFd fd);
  absl::Status SetOwner(BorrowedFd file, const EntryAttributes& attributes);
  absl::Status SetXattrs(BorrowedFd file, bool path_only, const EntryAttributes& attributes);
  absl::Status SetNodeAttributes(BorrowedFd parent, const std::string& name, bool is_symlink,
                                 const EntryAttributes& attributes);

  const BorrowedFd root_;
  const std::optional<RootlessOwner> owner_;
  absl::flat_hash_set<std::string> created_;  // by this layer, with all their parents
  std::map<std::string, Pending> pending_;    // directories
  // Entries of one directory come together: the last parent is the next one's, too.
  std::string parent_path_;
  UniqueFd parent_;
  bool parent_stale_ = false;  // something was removed: the path may lead elsewhere now
  uint64_t dropped_xattrs_ = 0;
};

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_ROOTFS_WRITER_H_
