// ImageImport: one import into an ImageStore, from the root's descriptor to the record.
//
// Blobs are fetched by several threads; layers are unpacked in their order on the caller's, as soon as
// they are there. Everything it touches is pinned until it ends. Used by ImageStore alone; one object,
// one call of Run.
#ifndef OCID_DAEMON_IMAGE_IMAGE_IMPORT_H_
#define OCID_DAEMON_IMAGE_IMAGE_IMPORT_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/image/image_record.h"
#include "daemon/image/image_source.h"
#include "daemon/image/image_store.h"
#include "daemon/image/manifest.h"
#include "runtime/base/mutex.h"

namespace ocid {

class ImageImport {
 public:
  ImageImport(ImageStore& store, ImageSource& source, const ImportRequest& request)
      : store_(store), source_(source), request_(request) {}
  ~ImageImport();
  ImageImport(const ImageImport&) = delete;
  ImageImport& operator=(const ImageImport&) = delete;

  absl::StatusOr<ImageRecord> Run(const Descriptor& root);

 private:
  struct Resolved {
    Descriptor descriptor;
    std::string bytes;
    Manifest manifest;
  };

  // Reads manifests and indexes down to the one of an image.
  absl::StatusOr<Resolved> Resolve(const Descriptor& root);
  absl::StatusOr<ImageRecord> ImportImage(const Resolved& resolved, const Digest& root);
  absl::StatusOr<ImageRecord> ImportSchema1(const Resolved& resolved, const Digest& root);
  absl::Status CheckPlatform(const ImageConfig& config) const;

  // Makes sure that every blob is there, and calls `ready` for each, in order, as they come.
  absl::Status FetchAll(const std::vector<Descriptor>& blobs,
                        const std::function<absl::Status(size_t index)>& ready);
  void FetchWorker(const std::vector<Descriptor>& blobs);
  absl::Status FetchOne(const Descriptor& blob, size_t index);
  absl::Status UnpackLayer(const std::vector<StoredLayer>& layers, size_t index);

  void Pin(const Digest& digest);
  absl::Status Report(size_t index, LayerState state, uint64_t done_bytes);

  ImageStore& store_;
  ImageSource& source_;
  const ImportRequest& request_;
  std::vector<Digest> pinned_;

  Mutex mutex_;
  CondVar changed_;
  std::vector<LayerProgress> progress_ ABSL_GUARDED_BY(mutex_);
  std::vector<bool> fetched_ ABSL_GUARDED_BY(mutex_);
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);  // the first one; ends every worker
};

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_IMAGE_IMPORT_H_
