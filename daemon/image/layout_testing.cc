#include "daemon/image/layout_testing.h"

#include <filesystem>
#include <fstream>
#include <utility>

#include "daemon/image/digest.h"
#include "daemon/image/layer_testing.h"
#include "daemon/image/manifest.h"

namespace ocid {

using nlohmann::json;

TestLayout::TestLayout(std::string directory) : directory_(std::move(directory)) {
  std::filesystem::remove_all(directory_);
  std::filesystem::create_directories(directory_ + "/blobs/sha256");
  WriteFile("oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
}

void TestLayout::WriteFile(const std::string& name, const std::string& bytes) {
  std::ofstream(directory_ + "/" + name, std::ios::binary | std::ios::trunc) << bytes;
}

json TestLayout::Blob(std::string_view media_type, const std::string& bytes) {
  const Digest digest = Digest::Sha256Of(bytes);
  WriteFile("blobs/sha256/" + digest.hex(), bytes);
  return {{"mediaType", media_type}, {"digest", digest.ToString()}, {"size", bytes.size()}};
}

json TestLayout::AddImage(const std::vector<std::string>& tars, const std::string& name,
                          json config) {
  json layers = json::array();
  json diff_ids = json::array();
  for (const std::string& tar : tars) {
    layers.push_back(Blob("application/vnd.oci.image.layer.v1.tar+gzip",
                          Compress(tar, TestCompression::kGzip)));
    diff_ids.push_back(Digest::Sha256Of(tar).ToString());
  }
  config["rootfs"] = {{"type", "layers"}, {"diff_ids", diff_ids}};
  const json manifest = {{"schemaVersion", 2},
                         {"config", Blob(kOciConfigType, config.dump())},
                         {"layers", layers},
                         {"annotations", {{"a", "b"}}}};
  json descriptor = Blob(kOciManifestType, manifest.dump());
  if (!name.empty()) descriptor["annotations"] = {{"org.opencontainers.image.ref.name", name}};
  index_.push_back(descriptor);
  WriteIndex();
  return descriptor;
}

void TestLayout::WriteIndex() {
  WriteFile("index.json", json{{"schemaVersion", 2}, {"manifests", index_}}.dump());
}

}  // namespace ocid
