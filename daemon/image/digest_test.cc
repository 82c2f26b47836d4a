#include "daemon/image/digest.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace ocid {
namespace {

constexpr char kEmpty[] = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(DigestTest, ParsesWhatItPrints) {
  const absl::StatusOr<Digest> digest = Digest::Parse(kEmpty);
  ASSERT_TRUE(digest.ok());
  EXPECT_EQ(digest->ToString(), kEmpty);
  EXPECT_EQ(*digest, Digest::Sha256Of(""));
}

TEST(DigestTest, RefusesWhatIsNoRegisteredDigest) {
  const std::string hex(64, 'a');
  for (const std::string& text :
       {std::string(), std::string("sha256"), std::string("sha256:"), "md5:" + hex, "sha256:" + hex + "a",
        "sha256:" + hex.substr(1), "sha512:" + hex, "sha256:" + std::string(64, 'A'),
        "sha256:../../" + std::string(58, 'a'), "SHA256:" + hex, "sha256:" + std::string(63, 'a') + "\n"}) {
    EXPECT_FALSE(Digest::Parse(text).ok()) << text;
  }
}

TEST(DigestTest, AStreamInPiecesHasTheDigestOfTheWhole) {
  DigestHasher hasher(Digest::Algorithm::kSha512);
  hasher.Update("ab");
  hasher.Update("c");
  EXPECT_EQ(std::move(hasher).Finish().ToString(),
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

}  // namespace
}  // namespace ocid
