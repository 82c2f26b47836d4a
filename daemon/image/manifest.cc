#include "daemon/image/manifest.h"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/image/image_errors.h"
#include "daemon/image/json_reader.h"
#include "runtime/base/error_details.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using nlohmann::json;

constexpr JsonLimits kManifestLimits = {
    .bytes = kMaxManifestBytes, .depth = 32, .values = size_t{1} << 18};

absl::StatusOr<Platform> ReadPlatform(const json& value) {
  JsonReader reader(value, "platform");
  Platform platform;
  reader.Read("os", platform.os);
  reader.Read("architecture", platform.architecture);
  reader.Read("variant", platform.variant);
  if (!reader.status().ok()) return reader.status();
  return platform;
}

absl::StatusOr<Descriptor> ReadDescriptor(const json& value, std::string_view what) {
  JsonReader reader(value, what);
  std::string media_type;
  std::string digest_text;
  uint64_t size_bytes = 0;
  std::map<std::string, std::string> annotations;
  reader.Read("mediaType", media_type);
  reader.Read("digest", digest_text);
  reader.Read("size", size_bytes);
  reader.Read("annotations", annotations);
  if (!reader.Has("size")) reader.Fail("size", "missing");
  const json* platform_value = reader.Object("platform");
  if (!reader.status().ok()) return reader.status();
  absl::StatusOr<Digest> digest = Digest::Parse(digest_text);
  if (!digest.ok()) return Annotate(digest.status(), what);
  Descriptor descriptor{.media_type = std::move(media_type),
                        .digest = *std::move(digest),
                        .size_bytes = size_bytes,
                        .platform = std::nullopt,
                        .annotations = std::move(annotations)};
  if (platform_value != nullptr) {
    absl::StatusOr<Platform> platform = ReadPlatform(*platform_value);
    if (!platform.ok()) return Annotate(platform.status(), what);
    descriptor.platform = *std::move(platform);
  }
  return descriptor;
}

absl::StatusOr<std::vector<Descriptor>> ReadDescriptors(const json& array, std::string_view what,
                                                        size_t limit) {
  if (array.size() > limit) {
    return ImageInvalid(absl::StrCat(absl::string_view(what.data(), what.size()), ": ",
                                     array.size(), " entries, more than ", limit));
  }
  std::vector<Descriptor> descriptors;
  for (const json& element : array) {
    absl::StatusOr<Descriptor> descriptor = ReadDescriptor(element, what);
    if (!descriptor.ok()) return descriptor.status();
    descriptors.push_back(*std::move(descriptor));
  }
  return descriptors;
}

absl::StatusOr<Manifest> ReadIndex(JsonReader& reader, std::string_view media_type) {
  ImageIndex index;
  index.media_type = std::string(media_type);
  const json* manifests = reader.Array("manifests");
  reader.Read("annotations", index.annotations);
  if (!reader.status().ok()) return reader.status();
  absl::StatusOr<std::vector<Descriptor>> entries =
      ReadDescriptors(*manifests, "manifests", kMaxIndexEntries);
  if (!entries.ok()) return entries.status();
  index.manifests = *std::move(entries);
  return index;
}

absl::StatusOr<Manifest> ReadImage(JsonReader& reader, std::string_view media_type) {
  const json* config_value = reader.Object("config");
  const json* layers_value = reader.Array("layers");
  std::map<std::string, std::string> annotations;
  reader.Read("annotations", annotations);
  if (config_value == nullptr) reader.Fail("config", "missing");
  if (layers_value == nullptr) reader.Fail("layers", "missing");
  if (!reader.status().ok()) return reader.status();
  absl::StatusOr<Descriptor> config = ReadDescriptor(*config_value, "config");
  if (!config.ok()) return config.status();
  absl::StatusOr<std::vector<Descriptor>> layers =
      ReadDescriptors(*layers_value, "layers", kMaxLayers);
  if (!layers.ok()) return layers.status();
  return ImageManifest{.media_type = std::string(media_type),
                       .config = *std::move(config),
                       .layers = *std::move(layers),
                       .annotations = std::move(annotations)};
}

absl::StatusOr<Manifest> ReadSchema1(JsonReader& reader) {
  Schema1Manifest manifest;
  reader.Read("name", manifest.name);
  reader.Read("tag", manifest.tag);
  manifest.is_signed = reader.Array("signatures") != nullptr;
  const json* blobs = reader.Array("fsLayers");
  const json* history = reader.Array("history");
  if (blobs == nullptr) reader.Fail("fsLayers", "missing");
  if (history == nullptr) reader.Fail("history", "missing");
  if (!reader.status().ok()) return reader.status();
  if (blobs->size() != history->size() || blobs->empty() || blobs->size() > kMaxLayers) {
    return ImageInvalid(absl::StrCat("schema 1 manifest: ", blobs->size(), " layers and ",
                                     history->size(), " history entries"));
  }
  for (size_t i = 0; i < blobs->size(); ++i) {
    JsonReader blob((*blobs)[i], "fsLayers");
    JsonReader entry((*history)[i], "history");
    std::string digest_text;
    std::string compatibility;
    blob.Read("blobSum", digest_text);
    entry.Read("v1Compatibility", compatibility);
    if (!blob.status().ok()) return blob.status();
    if (!entry.status().ok()) return entry.status();
    absl::StatusOr<Digest> digest = Digest::Parse(digest_text);
    if (!digest.ok()) return digest.status();
    manifest.blobs.push_back(*std::move(digest));
    manifest.history.push_back(std::move(compatibility));
  }
  return manifest;
}

bool IsSchema1Type(std::string_view media_type) {
  return media_type == kDockerSchema1Type || media_type == kDockerSchema1SignedType;
}

// "application/json" and the like say nothing about what the document is.
bool IsKnownType(std::string_view media_type) {
  return IsIndexType(media_type) || IsManifestType(media_type);
}

}  // namespace

Platform Platform::Host() {
  utsname name = {};
  uname(&name);
  const std::string_view machine = name.machine;
  Platform platform{.os = "linux", .architecture = std::string(machine), .variant = ""};
  if (machine == "x86_64") platform.architecture = "amd64";
  if (machine == "aarch64") {
    platform.architecture = "arm64";
    platform.variant = "v8";
  }
  if (machine == "armv7l") {
    platform.architecture = "arm";
    platform.variant = "v7";
  }
  if (machine == "i686") platform.architecture = "386";
  return platform;
}

absl::StatusOr<Platform> Platform::Parse(std::string_view text) {
  if (text.empty()) return Host();
  const std::vector<std::string> parts =
      absl::StrSplit(absl::string_view(text.data(), text.size()), '/');
  const bool whole = std::none_of(parts.begin(), parts.end(),
                                  [](const std::string& part) { return part.empty(); });
  if (parts.size() < 2 || parts.size() > 3 || !whole) {
    return ImageInvalid("platform \"" + std::string(text.substr(0, 100)) +
                        "\" is not OS/ARCHITECTURE[/VARIANT]");
  }
  return Platform{parts[0], parts[1], parts.size() == 3 ? parts[2] : ""};
}

std::string Platform::ToString() const {
  std::string text = os + "/" + architecture;
  if (!variant.empty()) text += "/" + variant;
  return text;
}

bool Matches(const Platform& offered, const Platform& wanted) {
  return offered.os == wanted.os && offered.architecture == wanted.architecture &&
         (offered.variant.empty() || wanted.variant.empty() || offered.variant == wanted.variant);
}

absl::StatusOr<Compression> LayerCompression(std::string_view media_type) {
  static constexpr std::array<std::pair<std::string_view, Compression>, 8> kTypes = {{
      {"application/vnd.oci.image.layer.v1.tar", Compression::kNone},
      {"application/vnd.oci.image.layer.v1.tar+gzip", Compression::kGzip},
      {"application/vnd.oci.image.layer.v1.tar+zstd", Compression::kZstd},
      {kDockerLayerType, Compression::kNone},
      {"application/vnd.docker.image.rootfs.diff.tar.gzip", Compression::kGzip},
      {"application/vnd.docker.image.rootfs.diff.tar.zstd", Compression::kZstd},
      {"application/vnd.oci.image.layer.nondistributable.v1.tar", Compression::kNone},
      {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Compression::kGzip},
  }};
  for (const auto& [name, compression] : kTypes) {
    if (media_type == name) return compression;
  }
  return ImageInvalid("\"" + std::string(media_type.substr(0, 160)) +
                      "\" is no type of layer that can be unpacked");
}

bool IsIndexType(std::string_view media_type) {
  return media_type == kOciIndexType || media_type == kDockerListType;
}

bool IsManifestType(std::string_view media_type) {
  return media_type == kOciManifestType || media_type == kDockerSchema2Type ||
         IsSchema1Type(media_type);
}

absl::StatusOr<Manifest> ParseManifest(std::string_view bytes, std::string_view media_type) {
  absl::StatusOr<json> document = ParseJson(bytes, kManifestLimits);
  if (!document.ok()) {
    return ImageInvalid("manifest: " + std::string(document.status().message()));
  }
  JsonReader reader(*document, "manifest");
  uint64_t schema_version = 0;
  std::string own_type;
  reader.Read("schemaVersion", schema_version);
  reader.Read("mediaType", own_type);
  if (!reader.status().ok()) return reader.status();

  const bool is_index = reader.Has("manifests");
  const bool is_image = reader.Has("layers") || reader.Has("config");
  const bool is_schema1 = reader.Has("fsLayers") || reader.Has("history");
  if (is_index + is_image + is_schema1 != 1) {
    return ImageInvalid(is_index + is_image + is_schema1 == 0
                            ? "manifest: neither an index nor an image"
                            : "manifest: ambiguous: members of more than one kind");
  }
  if (schema_version != (is_schema1 ? 1U : 2U)) {
    return ImageInvalid(absl::StrCat("manifest: schemaVersion ", schema_version));
  }
  const bool said = IsKnownType(media_type);
  if (said && !own_type.empty() && own_type != media_type &&
      !(IsSchema1Type(media_type) && IsSchema1Type(own_type))) {
    return ImageInvalid("manifest: mediaType " + own_type.substr(0, 160) + " where " +
                        std::string(media_type) + " was announced");
  }
  std::string type = !own_type.empty() ? own_type : said ? std::string(media_type) : "";
  if (type.empty() && !is_schema1) type = is_index ? kOciIndexType : kOciManifestType;
  const bool fits = is_schema1 ? type.empty() || IsSchema1Type(type)
                               : is_index == IsIndexType(type) && IsKnownType(type) &&
                                     !IsSchema1Type(type);
  if (!fits) return ImageInvalid("manifest: is not what its media type says: " + type.substr(0, 160));

  if (is_schema1) return ReadSchema1(reader);
  return is_index ? ReadIndex(reader, type) : ReadImage(reader, type);
}

absl::StatusOr<std::string> Schema1Payload(std::string_view bytes) {
  absl::StatusOr<json> document = ParseJson(bytes, kManifestLimits);
  if (!document.ok()) {
    return ImageInvalid("manifest: " + std::string(document.status().message()));
  }
  JsonReader reader(*document, "manifest");
  const json* signatures = reader.Array("signatures");
  if (!reader.status().ok()) return reader.status();
  if (signatures == nullptr) return std::string(bytes);
  if (signatures->empty()) return ImageInvalid("manifest: no signature in signatures");

  JsonReader signature((*signatures)[0], "signature");
  std::string protected_text;
  signature.Read("protected", protected_text);
  if (!signature.status().ok()) return signature.status();
  std::string protected_json;
  if (!absl::WebSafeBase64Unescape(protected_text, &protected_json)) {
    return ImageInvalid("signature: protected: not base64url");
  }
  absl::StatusOr<json> header = ParseJson(protected_json, kManifestLimits);
  if (!header.ok()) return ImageInvalid("signature: protected: not JSON");
  JsonReader header_reader(*header, "signature: protected");
  uint64_t length = 0;
  std::string tail_text;
  header_reader.Read("formatLength", length);
  header_reader.Read("formatTail", tail_text);
  if (!header_reader.status().ok()) return header_reader.status();
  std::string tail;
  if (length > bytes.size() || !absl::WebSafeBase64Unescape(tail_text, &tail)) {
    return ImageInvalid("signature: protected: formatLength or formatTail do not fit");
  }
  std::string payload = std::string(bytes.substr(0, length)) + tail;
  // What was signed must be what is read: the document but for its signatures.
  document->erase("signatures");
  absl::StatusOr<json> signed_document = ParseJson(payload, kManifestLimits);
  if (!signed_document.ok() || *signed_document != *document) {
    return ImageInvalid("manifest: what was signed differs from what it says");
  }
  return payload;
}

absl::StatusOr<Descriptor> SelectPlatform(const ImageIndex& index, const Platform& wanted) {
  const Descriptor* without_platform = nullptr;
  size_t images = 0;
  std::string offered;
  for (const Descriptor& entry : index.manifests) {
    if (!IsKnownType(entry.media_type)) continue;
    ++images;
    if (!entry.platform.has_value()) {
      without_platform = &entry;
      continue;
    }
    if (Matches(*entry.platform, wanted)) return entry;
    absl::StrAppend(&offered, offered.empty() ? "" : ", ", entry.platform->ToString());
  }
  // An index of one image need not name its platform; its configuration does.
  if (images == 1 && without_platform != nullptr) return *without_platform;
  return MakeError(absl::StatusCode::kNotFound, "IMAGE_NOT_FOUND",
                   "no image for " + wanted.ToString() + "; there are: " +
                       (offered.empty() ? "none" : offered.substr(0, 1000)));
}

std::string MakeSchema2Manifest(const Descriptor& config, const std::vector<Descriptor>& layers) {
  const auto describe = [](const Descriptor& descriptor) {
    return json{{"mediaType", descriptor.media_type},
                {"size", descriptor.size_bytes},
                {"digest", descriptor.digest.ToString()}};
  };
  json document = {{"schemaVersion", 2},
                   {"mediaType", std::string(kDockerSchema2Type)},
                   {"config", describe(config)},
                   {"layers", json::array()}};
  for (const Descriptor& layer : layers) document["layers"].push_back(describe(layer));
  return CanonicalJson(document);
}

}  // namespace ocid
