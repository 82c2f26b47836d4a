#include "daemon/image/image_usage.h"

#include <memory>
#include <set>
#include <vector>

namespace ocid {
namespace {

void Count(ContentUsage& usage, uint64_t size_bytes, bool in_use) {
  ++usage.count;
  usage.size_bytes += size_bytes;
  if (!in_use) usage.reclaimable_bytes += size_bytes;
}

}  // namespace

absl::StatusOr<ImageUsage> MeasureUsage(ImageStore& store) {
  ImageUsage usage;
  std::set<Digest> in_use;  // blobs and chain ids of images that containers hold
  const std::shared_ptr<const ImageRecords> records = store.Snapshot();
  for (const auto& [manifest, record] : *records) {
    const bool held = !store.Holders(manifest).empty();
    Count(usage.images, record.size_bytes, held);
    if (!held) continue;
    in_use.insert({manifest, record.root, record.config});
    for (const StoredLayer& layer : record.layers) in_use.insert(layer.digest);
    for (const Digest& chain_id : ChainOf(record)) in_use.insert(chain_id);
  }
  absl::StatusOr<std::vector<Digest>> blobs = store.content().List();
  if (!blobs.ok()) return blobs.status();
  for (const Digest& digest : *blobs) {
    const absl::StatusOr<ContentStore::Blob> blob = store.content().Open(digest);
    // Removed since the list was made.
    if (absl::IsNotFound(blob.status())) continue;
    if (!blob.ok()) return blob.status();
    Count(usage.blobs, blob->size_bytes, in_use.contains(digest));
  }
  absl::StatusOr<std::vector<Digest>> layers = store.layers().List();
  if (!layers.ok()) return layers.status();
  for (const Digest& chain_id : *layers) {
    const absl::StatusOr<uint64_t> size_bytes = store.layers().UsedBytes(chain_id);
    if (!size_bytes.ok()) return size_bytes.status();
    Count(usage.layers, *size_bytes, in_use.contains(chain_id));
  }
  const absl::StatusOr<std::vector<uint64_t>> partial = store.content().PartialSizes();
  if (!partial.ok()) return partial.status();
  for (const uint64_t size_bytes : *partial) {
    Count(usage.partial_downloads, size_bytes, /*in_use=*/false);
  }
  return usage;
}

}  // namespace ocid
