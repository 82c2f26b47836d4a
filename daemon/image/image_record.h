// ImageRecord: what the store knows about one image; ImageIndexFile: all of them, as a file.
//
// The file is JSON, replaced as a whole. Content is not in it: manifests, configurations and layers are
// blobs. An image without a name is one that a container still uses.
//
// Values; pure functions. Errors: IMAGE_INVALID.
#ifndef OCID_DAEMON_IMAGE_IMAGE_RECORD_H_
#define OCID_DAEMON_IMAGE_IMAGE_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/image/digest.h"
#include "daemon/image/manifest.h"

namespace ocid {

struct StoredLayer {
  std::string media_type;
  Digest digest;  // of the blob
  Digest diff_id;
  uint64_t size_bytes = 0;  // of the blob
};

struct ImageRecord {
  std::vector<std::string> names;  // sorted
  Digest manifest;
  std::string manifest_type;
  Digest root;  // the index it was chosen from; the manifest where there was none
  Digest config;
  std::string config_type;
  uint64_t size_bytes = 0;  // of manifest, configuration and layers as they travel
  Platform platform;
  std::string created;  // RFC 3339, UTC; empty: the image does not say
  int64_t load_time_unix_ns = 0;
  std::vector<StoredLayer> layers;  // lowest first
};

// The identities of its unpacked layers, lowest first.
std::vector<Digest> ChainOf(const ImageRecord& record);

using ImageRecords = std::map<Digest, ImageRecord>;  // by manifest

std::string SerializeRecords(const ImageRecords& records);
absl::StatusOr<ImageRecords> ParseRecords(std::string_view text);

// 1 to 512 characters of printable ASCII without spaces, and no digest: what a person would type.
absl::Status CheckImageName(std::string_view name);

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_IMAGE_RECORD_H_
