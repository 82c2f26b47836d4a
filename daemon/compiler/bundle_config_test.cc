#include "daemon/compiler/bundle_config.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "runtime/base/error_details.h"

namespace ocid {
namespace {

class BundleConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/ocid-bundle-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    bundle_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(bundle_); }

  void Write(const std::string& text) const {
    std::ofstream(bundle_ + "/config.json", std::ios::binary) << text;
  }
  std::string Reason() const { return GetReason(ReadBundleConfig(bundle_).status()); }

  std::string bundle_;
};

TEST_F(BundleConfigTest, IsReadWithItsDigest) {
  Write("{\"ociVersion\":\"1.0.2\"}\n");
  const absl::StatusOr<BundleConfig> config = ReadBundleConfig(bundle_);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->spec.OciVersion(), "1.0.2");
  EXPECT_EQ(config->source_file, bundle_ + "/config.json");
  EXPECT_EQ(config->source_sha256.substr(0, 7), "sha256:");
}

TEST_F(BundleConfigTest, NoFolderAndNoFileAreInvalidBundles) {
  EXPECT_EQ(Reason(), "BUNDLE_INVALID");
  std::filesystem::remove_all(bundle_);
  EXPECT_EQ(Reason(), "BUNDLE_INVALID");
}

TEST_F(BundleConfigTest, MalformedJsonSaysWhere) {
  Write("{\"ociVersion\": }");
  EXPECT_EQ(Reason(), "SPEC_MALFORMED");
  Write("[]");
  EXPECT_EQ(Reason(), "SPEC_MALFORMED");
}

TEST_F(BundleConfigTest, AHugeFileIsRefusedUnread) {
  Write("");
  std::filesystem::resize_file(bundle_ + "/config.json", 100 << 20);
  const absl::Status status = ReadBundleConfig(bundle_).status();
  EXPECT_EQ(GetReason(status), "SPEC_TOO_LARGE");
  EXPECT_EQ(GetErrorMetadata(status).at("limit_bytes"), "16777216");
}

TEST_F(BundleConfigTest, AFifoInItsPlaceDoesNotStopUs) {
  ASSERT_EQ(mkfifo((bundle_ + "/config.json").c_str(), 0600), 0);
  EXPECT_EQ(Reason(), "BUNDLE_INVALID");
}

}  // namespace
}  // namespace ocid
