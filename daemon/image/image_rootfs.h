// ImageRootfs: root file systems of containers made from images: an overlay of the image's layers and
// an upper directory of the container's own.
//
//   DIR/<container id>/upper              what the container wrote
//   DIR/<container id>/work, empty        overlayfs's own; a lower directory for an image without layers
//   DIR/<container id>/<hex of manifest>  where the overlay is mounted, in the daemon's mount namespace
//
// The mount point's name says which image it is, so that a container keeps its image over restarts
// whatever its name means by then, and a daemon that starts knows which images are held. A mount
// outlives the daemon; after the host was started again Prepare makes it anew.
//
// Thread-safe; calls block on the disk. Errors: IMAGE_NOT_FOUND, StoreFailed.
#ifndef OCID_DAEMON_IMAGE_IMAGE_ROOTFS_H_
#define OCID_DAEMON_IMAGE_IMAGE_ROOTFS_H_

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/base/rootfs_provider.h"
#include "daemon/image/digest.h"
#include "daemon/image/image_store.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class ImageRootfs : public RootfsProvider {
 public:
  // Holds the images of all containers that have a root here. `store` must outlive this.
  static absl::StatusOr<std::unique_ptr<ImageRootfs>> Open(ImageStore& store,
                                                           const std::string& directory);

  // The image that the container has, else the one that the name means.
  absl::StatusOr<ImageRunConfig> RunConfig(const std::string& container_id,
                                           const std::string& name) const;
  // Where Prepare will mount this image for the container.
  std::string PathFor(const std::string& container_id, const Digest& manifest) const;

  absl::Status Prepare(const std::string& container_id, const std::string& root_path) override;
  absl::Status Release(const std::string& container_id) override;

 private:
  ImageRootfs(ImageStore& store, std::string directory)
      : store_(store), directory_(std::move(directory)) {}
  std::optional<Digest> ImageOf(const std::string& container_id) const;
  absl::Status Mount(const std::string& container_id, const ImageRecord& image,
                     const std::string& root_path) const;

  ImageStore& store_;
  const std::string directory_;
  UniqueFd directory_fd_;
  Mutex mutex_;
  std::map<std::string, std::unique_ptr<ImageHold>> holds_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_IMAGE_ROOTFS_H_
