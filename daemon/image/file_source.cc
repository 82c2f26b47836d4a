#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "daemon/image/image_config.h"
#include "daemon/image/image_errors.h"
#include "daemon/image/image_source.h"
#include "daemon/image/json_reader.h"
#include "daemon/image/store_files.h"
#include "runtime/base/error_details.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using nlohmann::json;

constexpr std::string_view kRefName = "org.opencontainers.image.ref.name";
constexpr std::string_view kFullName = "io.containerd.image.name";
constexpr size_t kMaxImages = 1000;

constexpr JsonLimits kDocumentLimits = {
    .bytes = kMaxManifestBytes, .depth = 32, .values = size_t{1} << 18};

class FileImageSource : public ImageSource {
 public:
  explicit FileImageSource(std::unique_ptr<ImageFiles> files) : files_(std::move(files)) {}

  const ImageFiles& files() const { return *files_; }
  // Content that is not at blobs/ALGORITHM/HEX: a file by another name, or made by us.
  void AddFile(const Digest& digest, std::string name) { names_[digest] = std::move(name); }
  void AddText(const Digest& digest, std::string text) { texts_[digest] = std::move(text); }

  absl::StatusOr<std::string> Read(const Descriptor& descriptor, uint64_t limit_bytes) override {
    if (const auto text = texts_.find(descriptor.digest); text != texts_.end()) {
      return text->second;
    }
    return files_->Read(NameOf(descriptor.digest), limit_bytes);
  }

  absl::Status Fetch(const Descriptor& descriptor, BlobWriter& writer,
                     const Progress& progress) override {
    // From the beginning: the disk is near, and an earlier attempt may have had another source.
    absl::Status status = writer.Restart();
    if (!status.ok()) return status;
    if (const auto text = texts_.find(descriptor.digest); text != texts_.end()) {
      return writer.Write(text->second);
    }
    absl::StatusOr<UniqueFd> file = files_->Open(NameOf(descriptor.digest));
    if (!file.ok()) return file.status();
    std::vector<char> buffer(size_t{1} << 20);
    for (;;) {
      const ssize_t count = read(file->get(), buffer.data(), buffer.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return StoreFailed("read a blob", errno);
      if (count == 0) return absl::OkStatus();
      status = writer.Write({buffer.data(), static_cast<size_t>(count)});
      if (status.ok()) status = progress(writer.offset());
      if (!status.ok()) return status;
    }
  }

 private:
  std::string NameOf(const Digest& digest) const {
    if (const auto name = names_.find(digest); name != names_.end()) return name->second;
    return "blobs/" + std::string(digest.algorithm_name()) + "/" + digest.hex();
  }

  const std::unique_ptr<ImageFiles> files_;
  std::map<Digest, std::string> names_;
  std::map<Digest, std::string> texts_;
};

absl::StatusOr<json> ReadDocument(const ImageFiles& files, std::string_view name) {
  absl::StatusOr<std::string> text = files.Read(name, kMaxManifestBytes);
  if (!text.ok()) return text.status();
  absl::StatusOr<json> document = ParseJson(*text, kDocumentLimits);
  if (!document.ok()) {
    return ImageInvalid(std::string(name) + ": " + std::string(document.status().message()));
  }
  return document;
}

absl::StatusOr<FileSource> OpenLayout(std::unique_ptr<FileImageSource> source) {
  absl::StatusOr<json> layout = ReadDocument(source->files(), "oci-layout");
  if (!layout.ok()) return layout.status();
  JsonReader reader(*layout, "oci-layout");
  std::string version;
  reader.Read("imageLayoutVersion", version);
  if (!reader.status().ok()) return reader.status();
  if (!version.starts_with("1.")) {
    return ImageInvalid("oci-layout: imageLayoutVersion \"" + version.substr(0, 40) + "\"");
  }
  absl::StatusOr<std::string> text = source->files().Read("index.json", kMaxManifestBytes);
  if (!text.ok()) return text.status();
  absl::StatusOr<Manifest> parsed = ParseManifest(*text, kOciIndexType);
  if (!parsed.ok()) return Annotate(parsed.status(), "index.json");

  FileSource result;
  for (const Descriptor& entry : std::get<ImageIndex>(*parsed).manifests) {
    if (!IsIndexType(entry.media_type) && !IsManifestType(entry.media_type)) continue;
    SourceImage image{.names = {}, .root = entry};
    for (const std::string_view key : {kFullName, kRefName}) {
      const auto name = entry.annotations.find(std::string(key));
      if (name == entry.annotations.end()) continue;
      image.names.push_back(name->second);
      break;
    }
    // One image under several names is several entries.
    const auto same = std::find_if(result.images.begin(), result.images.end(), [&](const auto& i) {
      return i.root.digest == entry.digest;
    });
    if (same == result.images.end()) {
      result.images.push_back(std::move(image));
    } else {
      same->names.insert(same->names.end(), image.names.begin(), image.names.end());
    }
  }
  if (result.images.empty()) return ImageInvalid("index.json: names no image");
  result.source = std::move(source);
  return result;
}

// Digest and size of a file of the source, and whether it is compressed.
absl::StatusOr<Descriptor> DescribeLayer(const ImageFiles& files, const std::string& name) {
  absl::StatusOr<UniqueFd> file = files.Open(name);
  if (!file.ok()) return file.status();
  DigestHasher hasher;
  uint64_t size_bytes = 0;
  std::string magic;
  std::vector<char> buffer(size_t{1} << 20);
  for (;;) {
    const ssize_t count = read(file->get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return StoreFailed("read " + name, errno);
    if (count == 0) break;
    const std::string_view piece(buffer.data(), static_cast<size_t>(count));
    if (size_bytes == 0) magic = std::string(piece.substr(0, 4));
    hasher.Update(piece);
    size_bytes += piece.size();
  }
  std::string media_type(kDockerLayerType);
  if (magic.starts_with("\x1f\x8b")) media_type += ".gzip";
  if (magic.starts_with("\x28\xb5\x2f\xfd")) media_type += ".zstd";
  return Descriptor{.media_type = std::move(media_type),
                    .digest = std::move(hasher).Finish(),
                    .size_bytes = size_bytes,
                    .platform = std::nullopt,
                    .annotations = {}};
}

absl::StatusOr<SourceImage> ReadSavedImage(FileImageSource& source, const json& value) {
  JsonReader reader(value, "manifest.json");
  std::string config_name;
  std::vector<std::string> names;
  std::vector<std::string> layer_names;
  reader.Read("Config", config_name);
  reader.Read("RepoTags", names);
  reader.Read("Layers", layer_names);
  if (config_name.empty()) reader.Fail("Config", "missing");
  if (layer_names.size() > kMaxLayers) reader.Fail("Layers", "too many");
  if (!reader.status().ok()) return reader.status();

  absl::StatusOr<std::string> config = source.files().Read(config_name, kMaxConfigBytes);
  if (!config.ok()) return config.status();
  const Descriptor config_descriptor{.media_type = std::string(kDockerConfigType),
                                     .digest = Digest::Sha256Of(*config),
                                     .size_bytes = config->size(),
                                     .platform = std::nullopt,
                                     .annotations = {}};
  source.AddFile(config_descriptor.digest, config_name);
  std::vector<Descriptor> layers;
  for (const std::string& name : layer_names) {
    absl::StatusOr<Descriptor> layer = DescribeLayer(source.files(), name);
    if (!layer.ok()) return layer.status();
    source.AddFile(layer->digest, name);
    layers.push_back(*std::move(layer));
  }
  // These archives have no manifest. Ours is what a registry would have for the same content.
  std::string manifest = MakeSchema2Manifest(config_descriptor, layers);
  SourceImage image{.names = std::move(names),
                    .root = {.media_type = std::string(kDockerSchema2Type),
                             .digest = Digest::Sha256Of(manifest),
                             .size_bytes = manifest.size(),
                             .platform = std::nullopt,
                             .annotations = {}}};
  source.AddText(image.root.digest, std::move(manifest));
  return image;
}

absl::StatusOr<FileSource> OpenSavedImages(std::unique_ptr<FileImageSource> source) {
  absl::StatusOr<json> document = ReadDocument(source->files(), "manifest.json");
  if (!document.ok()) return document.status();
  if (!document->is_array() || document->empty() || document->size() > kMaxImages) {
    return ImageInvalid("manifest.json: not a list of images");
  }
  FileSource result;
  for (const json& value : *document) {
    absl::StatusOr<SourceImage> image = ReadSavedImage(*source, value);
    if (!image.ok()) return image.status();
    result.images.push_back(*std::move(image));
  }
  result.source = std::move(source);
  return result;
}

}  // namespace

absl::StatusOr<FileSource> OpenFileSource(std::unique_ptr<ImageFiles> files) {
  auto source = std::make_unique<FileImageSource>(std::move(files));
  if (source->files().Contains("oci-layout")) return OpenLayout(std::move(source));
  if (source->files().Contains("manifest.json")) return OpenSavedImages(std::move(source));
  return ImageInvalid(
      "neither an OCI layout (no oci-layout) nor a docker save archive (no manifest.json)");
}

}  // namespace ocid
