// SaveImage: an image of the store as an OCI image layout on the host, for other tools and machines.
//
// Manifest, configuration and layers are the bytes that came, each hashed again while it is copied, so
// that their digests stay. A layout holds no schema 1 manifest: a schema 2 one is written instead, and
// its digest is new. The layout names the image by org.opencontainers.image.ref.name.
//
// Thread-safe. Blocks. Errors: IMAGE_NOT_FOUND, IMAGE_INVALID (the path), RECORD_CORRUPT, StoreFailed.
// Source: image-spec image-layout.md.
#ifndef OCID_DAEMON_IMAGE_IMAGE_SAVE_H_
#define OCID_DAEMON_IMAGE_IMAGE_SAVE_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/image/digest.h"
#include "daemon/image/image_store.h"
#include "daemon/image/rootfs_writer.h"

namespace ocid {

struct SaveRequest {
  std::string image;
  std::string path;      // absolute; must not exist, its parent must
  bool archive = false;  // a tar archive instead of a folder
  std::optional<RootlessOwner> owner;  // who gets it; nobody else may read it
};

// The digest of the manifest in the layout.
absl::StatusOr<Digest> SaveImage(ImageStore& store, const SaveRequest& request);

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_IMAGE_SAVE_H_
