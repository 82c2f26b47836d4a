#include "daemon/image/manifest.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/escaping.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

using nlohmann::json;

const std::string kDigest = "sha256:" + std::string(64, 'a');

json MakeDescriptor(std::string_view type) {
  return {{"mediaType", std::string(type)}, {"digest", kDigest}, {"size", 7}};
}

json OciManifest() {
  return {{"schemaVersion", 2},
          {"config", MakeDescriptor(kOciConfigType)},
          {"layers", {MakeDescriptor("application/vnd.oci.image.layer.v1.tar+gzip")}}};
}

json Entry(std::string_view os, std::string_view architecture, std::string_view variant = "") {
  json entry = MakeDescriptor(kOciManifestType);
  entry["platform"] = {{"os", os}, {"architecture", architecture}};
  if (!variant.empty()) entry["platform"]["variant"] = variant;
  return entry;
}

json Schema1() {
  return {{"schemaVersion", 1},
          {"name", "library/busybox"},
          {"tag", "latest"},
          {"fsLayers", {{{"blobSum", kDigest}}}},
          {"history", {{{"v1Compatibility", "{}"}}}}};
}

TEST(ParseManifest, ReadsAnOciManifestThatDoesNotNameItsType) {
  const absl::StatusOr<Manifest> manifest = ParseManifest(OciManifest().dump(), "");
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  const auto& image = std::get<ImageManifest>(*manifest);
  EXPECT_EQ(image.media_type, kOciManifestType);
  EXPECT_EQ(image.layers.at(0).size_bytes, 7U);
}

TEST(ParseManifest, TakesTheTypeFromTheDescriptorWhereTheDocumentHasNone) {
  const absl::StatusOr<Manifest> manifest = ParseManifest(OciManifest().dump(), kDockerSchema2Type);
  ASSERT_TRUE(manifest.ok());
  EXPECT_EQ(std::get<ImageManifest>(*manifest).media_type, kDockerSchema2Type);
}

TEST(ParseManifest, RefusesADocumentOfTwoKinds) {
  json document = OciManifest();
  document["manifests"] = json::array();
  EXPECT_EQ(GetReason(ParseManifest(document.dump(), "").status()), "IMAGE_INVALID");
  document = OciManifest();
  document["fsLayers"] = json::array();
  EXPECT_FALSE(ParseManifest(document.dump(), "").ok());
}

TEST(ParseManifest, RefusesATypeThatTheDocumentContradicts) {
  json document = OciManifest();
  document["mediaType"] = kDockerSchema2Type;
  EXPECT_FALSE(ParseManifest(document.dump(), kOciManifestType).ok());
  document["mediaType"] = kOciIndexType;
  EXPECT_FALSE(ParseManifest(document.dump(), "").ok());
  EXPECT_FALSE(ParseManifest(OciManifest().dump(), kOciIndexType).ok());
}

TEST(ParseManifest, RefusesAMemberThatOccursTwice) {
  std::string text = OciManifest().dump();
  text.insert(1, R"("layers":[],)");
  EXPECT_FALSE(ParseManifest(text, "").ok());
}

TEST(ParseManifest, RefusesSizesAndDigestsThatAreNone) {
  for (const json& size : {json(-1), json(1.5), json("7"), json()}) {
    json document = OciManifest();
    document["config"]["size"] = size;
    EXPECT_FALSE(ParseManifest(document.dump(), "").ok()) << size;
  }
  json document = OciManifest();
  document["layers"][0]["digest"] = "sha256:../../../etc/passwd";
  EXPECT_FALSE(ParseManifest(document.dump(), "").ok());
}

TEST(ParseManifest, BoundsWhatItReads) {
  json document = OciManifest();
  for (size_t i = 0; i <= kMaxLayers; ++i) document["layers"].push_back(document["layers"][0]);
  EXPECT_FALSE(ParseManifest(document.dump(), "").ok());
  EXPECT_FALSE(ParseManifest(std::string(kMaxManifestBytes + 1, ' '), "").ok());
  EXPECT_FALSE(ParseManifest(std::string(100000, '['), "").ok());
}

TEST(ParseManifest, ReadsSchema1NewestFirst) {
  const absl::StatusOr<Manifest> manifest =
      ParseManifest(Schema1().dump(), kDockerSchema1SignedType);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(std::get<Schema1Manifest>(*manifest).blobs.size(), 1U);
  json uneven = Schema1();
  uneven["history"].push_back(uneven["history"][0]);
  EXPECT_FALSE(ParseManifest(uneven.dump(), "").ok());
}

TEST(Schema1Payload, IsWhatWasSigned) {
  const std::string payload = Schema1().dump(3);
  const std::string head = payload.substr(0, payload.size() - 2);  // without "\n}"
  const auto sign = [&](size_t length) {
    const json header = {{"formatLength", length},
                         {"formatTail", absl::WebSafeBase64Escape("\n}")}};
    const json signatures = {{{"protected", absl::WebSafeBase64Escape(header.dump())}}};
    return head + ",\n\"signatures\": " + signatures.dump() + "\n}";
  };
  EXPECT_EQ(Schema1Payload(sign(head.size())).value(), payload);
  EXPECT_FALSE(Schema1Payload(sign(head.size() + 100000)).ok());
  EXPECT_EQ(Schema1Payload(payload).value(), payload);
}

TEST(Schema1Payload, MustSayWhatTheManifestSays) {
  const std::string payload = Schema1().dump();
  const json header = {{"formatLength", payload.size() - 1},
                       {"formatTail", absl::WebSafeBase64Escape("}")}};
  const json signatures = {{{"protected", absl::WebSafeBase64Escape(header.dump())}}};
  const std::string added = payload.substr(0, payload.size() - 1) +
                            R"(,"architecture":"evil","signatures":)" + signatures.dump() + "}";
  EXPECT_FALSE(Schema1Payload(added).ok());
}

TEST(SelectPlatform, TakesTheEntryForThePlatform) {
  json document = {{"schemaVersion", 2},
                   {"manifests", {Entry("linux", "arm64", "v8"), Entry("linux", "amd64")}}};
  document["manifests"][1]["size"] = 9;
  const auto index =
      std::get<ImageIndex>(ParseManifest(document.dump(), kOciIndexType).value());
  EXPECT_EQ(SelectPlatform(index, {"linux", "amd64", ""})->size_bytes, 9U);
  EXPECT_EQ(SelectPlatform(index, {"linux", "arm64", ""})->size_bytes, 7U);
  EXPECT_EQ(GetReason(SelectPlatform(index, {"linux", "s390x", ""}).status()), "IMAGE_NOT_FOUND");
  EXPECT_FALSE(SelectPlatform(index, {"linux", "arm64", "v9"}).ok());
}

TEST(LayerCompression, KnowsLayersAndNothingElse) {
  EXPECT_EQ(LayerCompression("application/vnd.oci.image.layer.v1.tar+zstd").value(),
            Compression::kZstd);
  EXPECT_EQ(LayerCompression("application/vnd.docker.image.rootfs.diff.tar.gzip").value(),
            Compression::kGzip);
  EXPECT_FALSE(LayerCompression("application/vnd.oci.image.layer.v1.tar+gzip+encrypted").ok());
  EXPECT_FALSE(LayerCompression("").ok());
}

TEST(PlatformTest, ParsesWhatItPrints) {
  EXPECT_EQ(Platform::Parse("linux/arm64/v8")->ToString(), "linux/arm64/v8");
  EXPECT_EQ(Platform::Parse("")->os, "linux");
  for (const char* text : {"linux", "linux/", "/amd64", "a/b/c/d"}) {
    EXPECT_FALSE(Platform::Parse(text).ok()) << text;
  }
}

}  // namespace
}  // namespace ocid
