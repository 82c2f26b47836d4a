// UnpackBundle: a self-contained bundle of an image: DIR/rootfs, DIR/config.json, and what was
// unpacked, DIR/unpacked.json (tree_manifest.h), for VerifyBundle.
//
// The bundle is made beside DIR under another name, synced and renamed: DIR is whole or not there.
//
// Thread-safe. Blocks. Errors: IMAGE_NOT_FOUND, IMAGE_INVALID, StoreFailed.
#ifndef OCID_DAEMON_IMAGE_BUNDLE_UNPACK_H_
#define OCID_DAEMON_IMAGE_BUNDLE_UNPACK_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/image/digest.h"
#include "daemon/image/image_store.h"
#include "daemon/image/rootfs_writer.h"
#include "daemon/image/tree_manifest.h"

namespace ocid {

struct UnpackBundleRequest {
  std::string image;
  std::string directory;  // absolute; must not exist, its parent must
  std::string config_json;
  std::optional<RootlessOwner> owner;  // everything belongs to this user
};

// The digest of the root file system.
absl::StatusOr<Digest> UnpackBundle(ImageStore& store, const UnpackBundleRequest& request);

struct BundleCheck {
  std::vector<TreeDifference> differences;
  Digest digest;  // of the root file system as it is now
};

// What was unpacked against what is there now.
absl::StatusOr<BundleCheck> VerifyBundle(const std::string& directory);

// The digest of the root file system as it is now.
absl::StatusOr<Digest> BundleDigest(const std::string& directory);

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_BUNDLE_UNPACK_H_
