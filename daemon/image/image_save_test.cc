#include "daemon/image/image_save.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "daemon/image/image_store.h"
#include "daemon/image/image_usage.h"
#include "daemon/image/layer_testing.h"
#include "daemon/image/layout_testing.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

namespace fs = std::filesystem;

class ImageSaveTest : public testing::Test {
 protected:
  ImageSaveTest()
      : base_(testing::TempDir() + "/save-" +
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(base_);
    store_ = ImageStore::Open({.directory = base_ + "/store"}).value();
    TestLayout layout(base_ + "/layout");
    layout.AddImage({MakeTar({File("lower", "1")}), MakeTar({File("upper", "2")})}, "web:1");
    digest_ = store_->Load(layout.path(), "", Platform::Host()).value().manifest.ToString();
  }
  ~ImageSaveTest() override {
    store_.reset();
    fs::remove_all(base_);
  }

  absl::StatusOr<Digest> Save(const std::string& name, bool archive,
                              std::optional<RootlessOwner> owner = std::nullopt) {
    return SaveImage(*store_, {.image = "web:1",
                               .path = base_ + "/" + name,
                               .archive = archive,
                               .owner = owner});
  }
  std::string LoadElsewhere(const std::string& name) {
    fs::remove_all(base_ + "/other");
    const auto other = ImageStore::Open({.directory = base_ + "/other"}).value();
    const absl::StatusOr<ImageRecord> image =
        other->Load(base_ + "/" + name, "", Platform::Host());
    EXPECT_TRUE(image.ok()) << image.status();
    return image.ok() ? image->names.front() + "@" + image->manifest.ToString() : "";
  }

  const std::string base_;
  std::unique_ptr<ImageStore> store_;
  std::string digest_;
};

TEST_F(ImageSaveTest, ASavedImageIsLoadedUnderItsNameWithItsDigest) {
  for (const bool archive : {false, true}) {
    const std::string name = archive ? "saved.tar" : "saved";
    const absl::StatusOr<Digest> saved = Save(name, archive);
    ASSERT_TRUE(saved.ok()) << saved.status();
    EXPECT_EQ(saved->ToString(), digest_);
    EXPECT_EQ(LoadElsewhere(name), "web:1@" + digest_);
  }
}

TEST_F(ImageSaveTest, TheSameImageIsTheSameArchive) {
  ASSERT_TRUE(Save("a.tar", true).ok());
  ASSERT_TRUE(Save("b.tar", true).ok());
  EXPECT_EQ(system(("cmp -s " + base_ + "/a.tar " + base_ + "/b.tar").c_str()), 0);
}

TEST_F(ImageSaveTest, WhoAskedOwnsItAlone) {
  ASSERT_TRUE(Save("folder", false, RootlessOwner{1234, 1235}).ok());
  ASSERT_TRUE(Save("archive", true, RootlessOwner{1234, 1235}).ok());
  for (const char* name : {"folder", "folder/index.json", "folder/blobs/sha256", "archive"}) {
    struct stat info;
    ASSERT_EQ(stat((base_ + "/" + name).c_str(), &info), 0) << name;
    EXPECT_EQ(info.st_uid, 1234U) << name;
    EXPECT_EQ(info.st_gid, 1235U) << name;
    EXPECT_EQ(info.st_mode & 077, 0U) << name;
  }
}

TEST_F(ImageSaveTest, WhatExistsIsNotTouchedAndAFailureLeavesNothing) {
  std::ofstream(base_ + "/there") << "mine";
  EXPECT_EQ(GetReason(Save("there", true).status()), "IMAGE_INVALID");
  EXPECT_EQ(fs::file_size(base_ + "/there"), 4U);
  const ImageRecord record = store_->Get("web:1").value();
  std::ofstream(base_ + "/store/blobs/sha256/" + record.layers[1].digest.hex()) << "changed";
  EXPECT_EQ(GetReason(Save("broken", false).status()), "RECORD_CORRUPT");
  EXPECT_EQ(GetReason(Save("broken.tar", true).status()), "RECORD_CORRUPT");
  for (const auto& entry : fs::directory_iterator(base_)) {
    EXPECT_EQ(entry.path().string().find("broken"), std::string::npos) << entry.path();
  }
}

TEST_F(ImageSaveTest, UsageTellsWhatAPruneWouldFree) {
  const ImageUsage idle = MeasureUsage(*store_).value();
  EXPECT_EQ(idle.images.count, 1U);
  EXPECT_EQ(idle.blobs.count, 4U);
  EXPECT_EQ(idle.layers.count, 2U);
  EXPECT_GT(idle.layers.size_bytes, 0U);
  EXPECT_EQ(idle.layers.reclaimable_bytes, idle.layers.size_bytes);
  {
    const auto hold = store_->Hold("web:1", "container");
    const ImageUsage held = MeasureUsage(*store_).value();
    EXPECT_EQ(held.blobs.size_bytes, idle.blobs.size_bytes);
    EXPECT_EQ(held.blobs.reclaimable_bytes, 0U);
    EXPECT_EQ(held.layers.reclaimable_bytes, 0U);
  }
  const uint64_t freed = store_->Prune().value().freed_bytes;
  EXPECT_EQ(freed, idle.blobs.reclaimable_bytes + idle.layers.reclaimable_bytes);
  EXPECT_EQ(MeasureUsage(*store_).value().blobs.count, 0U);
}

}  // namespace
}  // namespace ocid
