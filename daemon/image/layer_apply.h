// ApplyLayer: reads the tar stream of a layer and makes its entries in a root directory.
//
//   layer blob -> LayerStream (decompress, hash) -> libarchive (tar) -> RootfsWriter (openat2)
//
// What is bounded: the bytes of the decompressed stream, the bytes written, the number of entries, the
// size of extended attributes. Holes of sparse files stay holes. The layer counts as applied only
// when all of it was read and its digest is the one that was asked for.
//
// Thread-safe; each call uses two threads. Blocks. Errors: IMAGE_INVALID, StoreFailed.
// Sources: image-spec layer.md; tar(5).
#ifndef OCID_DAEMON_IMAGE_LAYER_APPLY_H_
#define OCID_DAEMON_IMAGE_LAYER_APPLY_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "absl/status/statusor.h"
#include "daemon/image/digest.h"
#include "daemon/image/manifest.h"
#include "daemon/image/rootfs_writer.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

struct LayerLimits {
  uint64_t stream_bytes = uint64_t{64} << 30;  // decompressed
  uint64_t file_bytes = uint64_t{1} << 40;     // apparent size of one file, holes included
  uint64_t entries = 4'000'000;
  uint64_t xattr_bytes = uint64_t{1} << 20;  // of one entry
};

struct LayerOptions {
  Compression compression = Compression::kNone;
  LayerLimits limits = {};
  std::optional<RootlessOwner> owner = {};
  // What the stream must hash to. Nothing: the source does not say (schema 1).
  std::optional<Digest> diff_id = {};
};

struct LayerResult {
  Digest diff_id;
  uint64_t stream_bytes = 0;
  uint64_t entries = 0;
  uint64_t dropped_xattrs = 0;
};

// Applies the layer on top of what is in `root`. After an error `root` holds a part of it: the caller
// throws it away.
absl::StatusOr<LayerResult> ApplyLayer(UniqueFd blob, BorrowedFd root, const LayerOptions& options);

// The diff id alone, without making anything.
absl::StatusOr<Digest> ComputeDiffId(UniqueFd blob, Compression compression,
                                     const LayerLimits& limits);

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_LAYER_APPLY_H_
