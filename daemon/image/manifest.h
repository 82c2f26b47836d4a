// Image manifests: OCI index and manifest, Docker's manifest list, schema 2 and schema 1.
//
// Parsing is strict where leniency lets two readers see two images: a document with members of two
// kinds, or with a mediaType that is not what its descriptor says, is refused (CVE-2021-41190), as is
// one with a member twice. Sizes, counts and depth are bounded.
//
//   absl::StatusOr<Manifest> manifest = ParseManifest(bytes, descriptor.media_type);
//   if (const auto* index = std::get_if<ImageIndex>(&*manifest)) SelectPlatform(*index, platform);
//
// Errors: INVALID_ARGUMENT, IMAGE_INVALID. Pure functions of values; nothing blocks.
// Sources: image-spec image-index.md, manifest.md, descriptor.md; distribution
// manifest-v2-1.deprecated.md, manifest-v2-2.md.
#ifndef OCID_DAEMON_IMAGE_MANIFEST_H_
#define OCID_DAEMON_IMAGE_MANIFEST_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/image/digest.h"

namespace ocid {

// Of a manifest or an index: what is usual, and what can be allowed at most.
inline constexpr size_t kDefaultManifestBytes = size_t{4} << 20;
inline constexpr size_t kMaxManifestBytes = size_t{16} << 20;
// As many lower directories as mount(2)'s page of options has room for: rootfs_mount.h.
inline constexpr size_t kMaxLayers = 192;
inline constexpr size_t kMaxIndexEntries = 4096;

inline constexpr std::string_view kOciIndexType = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kOciManifestType = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciConfigType = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kDockerListType =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kDockerSchema2Type =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerSchema1Type =
    "application/vnd.docker.distribution.manifest.v1+json";
inline constexpr std::string_view kDockerSchema1SignedType =
    "application/vnd.docker.distribution.manifest.v1+prettyjws";
inline constexpr std::string_view kDockerConfigType =
    "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view kDockerLayerType = "application/vnd.docker.image.rootfs.diff.tar";

// What an image runs on, in Go's words: "linux", "amd64", "" or "v8".
struct Platform {
  std::string os;
  std::string architecture;
  std::string variant;

  static Platform Host();
  // "OS/ARCHITECTURE[/VARIANT]"; empty text: the host's.
  static absl::StatusOr<Platform> Parse(std::string_view text);
  std::string ToString() const;

  friend bool operator==(const Platform&, const Platform&) = default;
};

// Whether an image for `offered` is what was asked for: a variant matters only where both name one.
bool Matches(const Platform& offered, const Platform& wanted);

struct Descriptor {
  std::string media_type;
  Digest digest;
  uint64_t size_bytes = 0;
  std::optional<Platform> platform;
  std::map<std::string, std::string> annotations;
};

enum class Compression { kNone, kGzip, kZstd };

// By the media type of a layer: IMAGE_INVALID for what is no layer, is encrypted or foreign.
absl::StatusOr<Compression> LayerCompression(std::string_view media_type);

struct ImageIndex {
  std::string media_type;
  std::vector<Descriptor> manifests;
  std::map<std::string, std::string> annotations;
};

// OCI manifest or Docker schema 2: the same shape.
struct ImageManifest {
  std::string media_type;
  Descriptor config;
  std::vector<Descriptor> layers;  // lowest first
  std::map<std::string, std::string> annotations;
};

// As it is written: newest first.
struct Schema1Manifest {
  bool is_signed = false;
  std::string name;
  std::string tag;
  std::vector<Digest> blobs;
  std::vector<std::string> history;  // v1Compatibility, JSON text; as many as blobs
};

using Manifest = std::variant<ImageIndex, ImageManifest, Schema1Manifest>;

// `media_type`: what the descriptor or the registry's Content-Type says; empty: as the document says.
absl::StatusOr<Manifest> ParseManifest(std::string_view bytes, std::string_view media_type);

bool IsIndexType(std::string_view media_type);
bool IsManifestType(std::string_view media_type);  // of one image

// The bytes that the digest of a schema 1 manifest is over: for a signed one, what was signed.
// Signatures themselves are not checked: trust is in the digest, or in the transport.
absl::StatusOr<std::string> Schema1Payload(std::string_view bytes);

// The entry for a platform. NOT_FOUND, IMAGE_NOT_FOUND names the platforms that there are.
absl::StatusOr<Descriptor> SelectPlatform(const ImageIndex& index, const Platform& wanted);

// Text of a schema 2 manifest, for sources that have none.
std::string MakeSchema2Manifest(const Descriptor& config, const std::vector<Descriptor>& layers);

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_MANIFEST_H_
