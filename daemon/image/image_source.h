// ImageSource: where an image comes from, as the store's import sees it: named roots (manifests or
// indexes), and content by descriptor. What it gives is verified by whoever takes it.
//
// Implementations: OpenFileSource here, for OCI layouts and `docker save` archives; registries in
// registry_source.h.
#ifndef OCID_DAEMON_IMAGE_IMAGE_SOURCE_H_
#define OCID_DAEMON_IMAGE_IMAGE_SOURCE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/image/content_store.h"
#include "daemon/image/image_files.h"
#include "daemon/image/manifest.h"

namespace ocid {

// Thread-safe; calls block.
class ImageSource {
 public:
  virtual ~ImageSource() = default;

  // The bytes of a manifest, an index or a configuration. At most `limit_bytes`.
  virtual absl::StatusOr<std::string> Read(const Descriptor& descriptor, uint64_t limit_bytes) = 0;

  // Adds what is missing from writer.offset() on; calls `progress` with the bytes that are there.
  // Returns an error where `progress` does.
  using Progress = std::function<absl::Status(uint64_t done_bytes)>;
  virtual absl::Status Fetch(const Descriptor& descriptor, BlobWriter& writer,
                             const Progress& progress) = 0;
};

// One image that a file source offers.
struct SourceImage {
  std::vector<std::string> names;  // as the source names it; may be empty
  Descriptor root;                 // an index, or a manifest
};

struct FileSource {
  std::unique_ptr<ImageSource> source;
  std::vector<SourceImage> images;  // at least one
};

// An OCI layout (which modern `docker save` writes, too), or the older archives of `docker save`.
// IMAGE_INVALID where it is neither, or offers nothing. Blocks.
// Sources: image-spec image-layout.md; moby image/spec/v1.2.md, "Combined Image JSON".
absl::StatusOr<FileSource> OpenFileSource(std::unique_ptr<ImageFiles> files);

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_IMAGE_SOURCE_H_
