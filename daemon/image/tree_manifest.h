// TreeManifest: what a directory tree holds, entry by entry, and its digest.
//
// The digest is stable over how the tree travelled: it is the hash of the entries' hashes, in the
// lexical order of their relative paths. An entry's hash is over its path, type, mode, owner, extended
// attributes, size and content (files), target (symbolic links), number (devices), or first path (second
// and further names of one file); not over its times. After a change, only what changed needs reading.
//
// As text, a manifest is one JSON object per line. A tree is read below its descriptor and through no
// link; other file systems mounted in it count as what they show.
//
// Values; ReadTree blocks on the disk and reads every file once. Errors: StoreFailed, IMAGE_INVALID.
#ifndef OCID_DAEMON_IMAGE_TREE_MANIFEST_H_
#define OCID_DAEMON_IMAGE_TREE_MANIFEST_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/image/digest.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

struct TreeEntry {
  std::string path;  // relative; "." is the root
  std::string type;  // "file", "directory", "symlink", "hardlink", "char", "block", "fifo", "socket"
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t size_bytes = 0;  // of files
  std::string sha256;       // of files
  std::string target;       // of links
  uint32_t major = 0;       // of devices
  uint32_t minor = 0;
  std::map<std::string, std::string> xattrs;

  friend bool operator==(const TreeEntry&, const TreeEntry&) = default;
};

// In the lexical order of paths.
using TreeManifest = std::vector<TreeEntry>;

absl::StatusOr<TreeManifest> ReadTree(BorrowedFd root);

std::string SerializeTree(const TreeManifest& manifest);
absl::StatusOr<TreeManifest> ParseTree(std::string_view text);

Digest TreeDigest(const TreeManifest& manifest);

struct TreeDifference {
  std::string path;
  // "missing", "added", "type", "target", "mode", "owner", "size", "digest", "device" or
  // "xattr NAME".
  std::string what;
  std::string expected;  // empty: there was none
  std::string actual;

  friend bool operator==(const TreeDifference&, const TreeDifference&) = default;
};

// Every difference, in the order of paths. Its texts are printable: other bytes are escaped as in C.
std::vector<TreeDifference> CompareTrees(const TreeManifest& expected, const TreeManifest& actual);

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_TREE_MANIFEST_H_
