#include "daemon/image/content_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>

#include "runtime/base/error_details.h"

namespace ocid {
namespace {

class ContentStoreTest : public testing::Test {
 protected:
  ContentStoreTest() : directory_(testing::TempDir() + "/content-" + TestName()) {
    std::filesystem::remove_all(directory_);
    absl::StatusOr<std::unique_ptr<ContentStore>> store = ContentStore::Open(directory_);
    EXPECT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  ~ContentStoreTest() override { std::filesystem::remove_all(directory_); }

  static std::string TestName() {
    return testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  std::string BlobPath(const Digest& digest) { return directory_ + "/blobs/sha256/" + digest.hex(); }

  const std::string directory_;
  std::unique_ptr<ContentStore> store_;
};

TEST_F(ContentStoreTest, ABlobThatWasPutIsReadByItsDigest) {
  const absl::StatusOr<Digest> digest = store_->Put("hello");
  ASSERT_TRUE(digest.ok());
  EXPECT_EQ(*digest, Digest::Sha256Of("hello"));
  EXPECT_EQ(store_->Read(*digest, 100).value(), "hello");
  EXPECT_EQ(store_->List().value(), std::vector<Digest>{*digest});
}

TEST_F(ContentStoreTest, ContentWithAnotherDigestIsRefusedAndForgotten) {
  const Digest digest = Digest::Sha256Of("hello");
  auto writer = store_->Write(digest, 5).value();
  ASSERT_TRUE(writer->Write("hellO").ok());
  const absl::Status status = std::move(*writer).Commit();
  writer.reset();
  EXPECT_EQ(GetReason(status), "IMAGE_INVALID");
  EXPECT_FALSE(store_->Contains(digest));
  EXPECT_EQ(store_->Write(digest, 5).value()->offset(), 0U);
}

TEST_F(ContentStoreTest, MoreThanTheExpectedSizeIsRefusedAtOnce) {
  auto writer = store_->Write(Digest::Sha256Of("hello"), 5).value();
  EXPECT_EQ(GetReason(writer->Write("hello!")), "IMAGE_INVALID");
}

TEST_F(ContentStoreTest, AWriterGoesOnWhereTheLastOneEnded) {
  const Digest digest = Digest::Sha256Of("hello");
  for (size_t cut = 0; cut <= 5; ++cut) {
    {
      auto writer = store_->Write(digest, 5).value();
      ASSERT_TRUE(writer->Write(std::string_view("hello").substr(0, cut)).ok());
      if (cut < 5) {
        EXPECT_FALSE(std::move(*writer).Commit().ok());
      }
    }
    auto writer = store_->Write(digest, 5).value();
    EXPECT_EQ(writer->offset(), cut);
    ASSERT_TRUE(writer->Write(std::string_view("hello").substr(cut)).ok());
    ASSERT_TRUE(std::move(*writer).Commit().ok());
    EXPECT_EQ(store_->Read(digest, 5).value(), "hello");
    writer.reset();
    ASSERT_EQ(store_->Remove(digest).value(), 5U);
  }
}

TEST_F(ContentStoreTest, ABlobChangedOnDiskIsNotReturned) {
  const Digest digest = store_->Put("hello").value();
  std::ofstream(BlobPath(digest)) << "jello";
  EXPECT_EQ(store_->Read(digest, 100).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(GetReason(store_->Verify(digest)), "RECORD_CORRUPT");
}

TEST_F(ContentStoreTest, TheSecondWriterOfADigestWaitsAndFindsItThere) {
  const Digest digest = Digest::Sha256Of("hello");
  auto first = store_->Write(digest, 5).value();
  std::unique_ptr<BlobWriter> second;
  std::thread waiter([&] { second = store_->Write(digest, 5).value(); });
  ASSERT_TRUE(first->Write("hello").ok());
  ASSERT_TRUE(std::move(*first).Commit().ok());
  first.reset();
  waiter.join();
  EXPECT_EQ(second, nullptr);
}

TEST_F(ContentStoreTest, ReadingIsBounded) {
  const Digest digest = store_->Put("hello").value();
  EXPECT_EQ(GetReason(store_->Read(digest, 4).status()), "IMAGE_INVALID");
}

}  // namespace
}  // namespace ocid
