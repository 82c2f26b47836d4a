// MeasureUsage: what an image store takes up on disk, and what of it a prune would free.
//
// Walks the unpacked layers: blocks on the disk, for milliseconds per thousand files. What comes and goes
// meanwhile may count or not. Thread-safe. Errors: StoreFailed.
#ifndef OCID_DAEMON_IMAGE_IMAGE_USAGE_H_
#define OCID_DAEMON_IMAGE_IMAGE_USAGE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "daemon/image/image_store.h"

namespace ocid {

struct ContentUsage {
  uint64_t count = 0;
  uint64_t size_bytes = 0;
  uint64_t reclaimable_bytes = 0;
};

struct ImageUsage {
  ContentUsage images;  // as they travel; what several of them share counts with each
  ContentUsage blobs;
  ContentUsage layers;  // unpacked
  ContentUsage partial_downloads;
};

absl::StatusOr<ImageUsage> MeasureUsage(ImageStore& store);

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_IMAGE_USAGE_H_
