#include "daemon/image/image_record.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/image/image_config.h"
#include "daemon/image/image_errors.h"
#include "daemon/image/json_reader.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using nlohmann::json;

constexpr uint64_t kSchema = 1;
constexpr JsonLimits kIndexLimits = {
    .bytes = size_t{256} << 20, .depth = 16, .values = size_t{16} << 20};
constexpr size_t kMaxNameBytes = 512;

json Describe(const ImageRecord& record) {
  json layers = json::array();
  for (const StoredLayer& layer : record.layers) {
    layers.push_back({{"media_type", layer.media_type},
                      {"digest", layer.digest.ToString()},
                      {"diff_id", layer.diff_id.ToString()},
                      {"size", layer.size_bytes}});
  }
  return {{"names", record.names},
          {"manifest", record.manifest.ToString()},
          {"manifest_type", record.manifest_type},
          {"root", record.root.ToString()},
          {"config", record.config.ToString()},
          {"config_type", record.config_type},
          {"size", record.size_bytes},
          {"os", record.platform.os},
          {"architecture", record.platform.architecture},
          {"variant", record.platform.variant},
          {"created", record.created},
          {"load_time_unix_ns", static_cast<uint64_t>(record.load_time_unix_ns)},
          {"layers", std::move(layers)}};
}

absl::StatusOr<Digest> ReadDigest(JsonReader& reader, std::string_view name) {
  std::string text;
  reader.Read(name, text);
  if (!reader.status().ok()) return reader.status();
  return Digest::Parse(text);
}

absl::StatusOr<StoredLayer> ReadLayer(const json& value) {
  JsonReader reader(value, "layer");
  absl::StatusOr<Digest> digest = ReadDigest(reader, "digest");
  if (!digest.ok()) return digest.status();
  absl::StatusOr<Digest> diff_id = ReadDigest(reader, "diff_id");
  if (!diff_id.ok()) return diff_id.status();
  StoredLayer layer{.media_type = {}, .digest = *std::move(digest), .diff_id = *std::move(diff_id)};
  reader.Read("media_type", layer.media_type);
  reader.Read("size", layer.size_bytes);
  if (!reader.status().ok()) return reader.status();
  return layer;
}

absl::StatusOr<ImageRecord> ReadRecord(const json& value) {
  JsonReader reader(value, "image");
  absl::StatusOr<Digest> manifest = ReadDigest(reader, "manifest");
  if (!manifest.ok()) return manifest.status();
  absl::StatusOr<Digest> root = ReadDigest(reader, "root");
  if (!root.ok()) return root.status();
  absl::StatusOr<Digest> config = ReadDigest(reader, "config");
  if (!config.ok()) return config.status();
  ImageRecord record{.names = {},
                     .manifest = *std::move(manifest),
                     .manifest_type = {},
                     .root = *std::move(root),
                     .config = *std::move(config),
                     .config_type = {},
                     .size_bytes = 0,
                     .platform = {},
                     .created = {},
                     .load_time_unix_ns = 0,
                     .layers = {}};
  uint64_t load_time = 0;
  reader.Read("names", record.names);
  reader.Read("manifest_type", record.manifest_type);
  reader.Read("config_type", record.config_type);
  reader.Read("size", record.size_bytes);
  reader.Read("os", record.platform.os);
  reader.Read("architecture", record.platform.architecture);
  reader.Read("variant", record.platform.variant);
  reader.Read("created", record.created);
  reader.Read("load_time_unix_ns", load_time);
  const json* layers = reader.Array("layers");
  if (!reader.status().ok()) return reader.status();
  record.load_time_unix_ns = static_cast<int64_t>(load_time);
  for (const json& layer_value : layers != nullptr ? *layers : json::array()) {
    absl::StatusOr<StoredLayer> layer = ReadLayer(layer_value);
    if (!layer.ok()) return layer.status();
    record.layers.push_back(*std::move(layer));
  }
  return record;
}

}  // namespace

std::vector<Digest> ChainOf(const ImageRecord& record) {
  std::vector<Digest> diff_ids;
  for (const StoredLayer& layer : record.layers) diff_ids.push_back(layer.diff_id);
  return ChainIds(diff_ids);
}

std::string SerializeRecords(const ImageRecords& records) {
  json images = json::array();
  for (const auto& [manifest, record] : records) images.push_back(Describe(record));
  return CanonicalJson({{"schema", kSchema}, {"images", std::move(images)}});
}

absl::StatusOr<ImageRecords> ParseRecords(std::string_view text) {
  absl::StatusOr<json> document = ParseJson(text, kIndexLimits);
  if (!document.ok()) return ImageInvalid(std::string(document.status().message()));
  JsonReader reader(*document, "image index");
  uint64_t schema = 0;
  reader.Read("schema", schema);
  const json* images = reader.Array("images");
  if (schema != kSchema) reader.Fail("schema", "unknown");
  if (images == nullptr) reader.Fail("images", "missing");
  if (!reader.status().ok()) return reader.status();
  ImageRecords records;
  for (const json& value : *images) {
    absl::StatusOr<ImageRecord> record = ReadRecord(value);
    if (!record.ok()) return record.status();
    const Digest manifest = record->manifest;
    records.emplace(manifest, *std::move(record));
  }
  return records;
}

absl::Status CheckImageName(std::string_view name) {
  const bool printable =
      std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (name.empty() || name.size() > kMaxNameBytes || !printable || Digest::Parse(name).ok()) {
    return ImageInvalid("\"" + std::string(name.substr(0, 100)) + "\" cannot be an image's name");
  }
  return absl::OkStatus();
}

}  // namespace ocid
