#include "daemon/image/bundle_unpack.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "daemon/image/fresh_output.h"
#include "daemon/image/layer_testing.h"
#include "daemon/image/tree_manifest.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class BundleUnpackTest : public testing::Test {
 protected:
  BundleUnpackTest()
      : base_(testing::TempDir() + "/bundle-" +
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(base_);
    fs::create_directories(base_);
    store_ = ImageStore::Open({.directory = base_ + "/store", .limits = {}}).value();
    const std::string tar = MakeTar(
        {Directory("bin"), File("bin/sh", "#!", 04755), HardLink("bin/ash", "bin/sh"),
         Symlink("link", "bin/sh"), {.type = '3', .path = "null", .mode = 0666, .major = 1, .minor = 3},
         File("name-\xff", "latin")});
    const std::string top = MakeTar({File("top", "2"), Whiteout(".wh.link")});
    const std::string config =
        json{{"os", "linux"}, {"architecture", Platform::Host().architecture},
             {"rootfs", {{"type", "layers"}, {"diff_ids", {Digest::Sha256Of(tar).ToString(),
                                                          Digest::Sha256Of(top).ToString()}}}}}
            .dump();
    std::ofstream(base_ + "/saved.tar", std::ios::binary) << MakeTar(
        {File("manifest.json",
              R"([{"Config":"c.json","RepoTags":["web:1"],"Layers":["1.tar","2.tar"]}])"),
         File("c.json", config), File("1.tar", tar), File("2.tar", top)});
    const absl::StatusOr<ImageRecord> loaded =
        store_->Load(base_ + "/saved.tar", "", Platform::Host());
    EXPECT_TRUE(loaded.ok()) << loaded.status();
  }
  ~BundleUnpackTest() override {
    store_.reset();
    fs::remove_all(base_);
  }
  absl::StatusOr<Digest> Unpack(const std::string& name, std::optional<RootlessOwner> owner = {}) {
    return UnpackBundle(*store_, {.image = "web:1", .directory = base_ + "/" + name,
                                  .config_json = "{}", .owner = owner});
  }

  const std::string base_;
  std::unique_ptr<ImageStore> store_;
};

TEST_F(BundleUnpackTest, ABundleHoldsTheWholeImageAndVerifies) {
  const absl::StatusOr<Digest> digest = Unpack("b");
  ASSERT_TRUE(digest.ok()) << digest.status();
  EXPECT_TRUE(fs::exists(base_ + "/b/rootfs/bin/sh"));
  EXPECT_FALSE(fs::is_symlink(base_ + "/b/rootfs/link"));
  EXPECT_TRUE(fs::exists(base_ + "/b/config.json"));
  const BundleCheck check = VerifyBundle(base_ + "/b").value();
  EXPECT_TRUE(check.differences.empty());
  EXPECT_EQ(check.digest, *digest);
  EXPECT_EQ(BundleDigest(base_ + "/b").value(), *digest);
  EXPECT_TRUE(store_->Holders(store_->Get("web:1")->manifest).empty());
}

TEST_F(BundleUnpackTest, WhatAKilledDaemonLeftUnfinishedIsRemovedByTheNext) {
  const pid_t killed = fork();
  if (killed == 0) {
    const auto output = FreshOutput::Begin(base_ + "/b", store_->outputs());
    const bool made =
        output.ok() && mkdirat(output->parent().get(), output->partial_name().c_str(), 0700) == 0;
    _exit(made ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(killed, &status, 0), killed);
  ASSERT_EQ(status, 0);
  const auto count = [this] {
    return std::distance(fs::directory_iterator(base_), fs::directory_iterator());
  };
  const auto with_the_half = count();
  store_.reset();
  store_ = ImageStore::Open({.directory = base_ + "/store", .limits = {}}).value();
  EXPECT_EQ(count(), with_the_half - 1);
  EXPECT_TRUE(store_->warnings().empty());
  EXPECT_TRUE(fs::is_empty(base_ + "/store/outputs"));
  EXPECT_TRUE(Unpack("b").ok());
  EXPECT_TRUE(fs::is_empty(base_ + "/store/outputs"));
}

TEST_F(BundleUnpackTest, TheDigestIsTheContentsAndNotTheTravels) {
  const Digest first = Unpack("b1").value();
  EXPECT_EQ(Unpack("b2").value(), first);
  ASSERT_EQ(system(("cp -a " + base_ + "/b1 " + base_ + "/b3").c_str()), 0);
  EXPECT_EQ(BundleDigest(base_ + "/b3").value(), first);
}

TEST_F(BundleUnpackTest, EveryKindOfChangeIsFound) {
  ASSERT_TRUE(Unpack("b").ok());
  const std::string root = base_ + "/b/rootfs/";
  const Digest before = BundleDigest(base_ + "/b").value();
  const auto expect = [&](const std::vector<TreeDifference>& differences) {
    EXPECT_EQ(VerifyBundle(base_ + "/b")->differences, differences) << differences.front().what;
    EXPECT_NE(BundleDigest(base_ + "/b").value(), before);
  };
  chmod((root + "top").c_str(), 0600);
  expect({{"top", "mode", "0644", "0600"}});
  chmod((root + "top").c_str(), 0644);
  ASSERT_EQ(chown((root + "top").c_str(), 7, 8), 0);
  expect({{"top", "owner", "0:0", "7:8"}});
  ASSERT_EQ(chown((root + "top").c_str(), 0, 0), 0);
  std::ofstream(root + "top") << "3";
  expect({{"top", "digest", Digest::Sha256Of("2").hex(), Digest::Sha256Of("3").hex()}});
  std::ofstream(root + "top") << "2";
  ASSERT_EQ(setxattr((root + "top").c_str(), "user.x", "y", 1, 0), 0);
  expect({{"top", "xattr user.x", "", "0x79"}});
  ASSERT_EQ(removexattr((root + "top").c_str(), "user.x"), 0);
  std::ofstream(root + "new") << "";
  expect({{"new", "added", "", "file"}});
  fs::remove(root + "new");
  fs::remove(root + "null");
  expect({{"null", "missing", "char", ""}});
  std::ofstream(root + "null") << "";
  expect({{"null", "type", "char", "file"}});
}

TEST_F(BundleUnpackTest, WhatExistsIsNotTouched) {
  fs::create_directories(base_ + "/there");
  EXPECT_EQ(GetReason(Unpack("there").status()), "IMAGE_INVALID");
  EXPECT_TRUE(fs::is_empty(base_ + "/there"));
  fs::create_symlink("/nonexistent", base_ + "/dangling");
  EXPECT_EQ(GetReason(Unpack("dangling").status()), "IMAGE_INVALID");
  EXPECT_EQ(GetReason(Unpack("no/parent").status()), "IMAGE_INVALID");
}

TEST_F(BundleUnpackTest, AFailureLeavesNothing) {
  const ImageRecord record = store_->Get("web:1").value();
  std::ofstream(base_ + "/store/blobs/sha256/" + record.layers[1].digest.hex()) << "not a tar";
  EXPECT_FALSE(Unpack("b").ok());
  size_t entries = 0;
  for (const auto& entry : fs::directory_iterator(base_)) {
    EXPECT_TRUE(entry.path().filename() == "store" || entry.path().filename() == "saved.tar");
    ++entries;
  }
  EXPECT_EQ(entries, 2U);
}

TEST_F(BundleUnpackTest, ARootlessBundleBelongsToItsOwner) {
  ASSERT_TRUE(Unpack("b", RootlessOwner{1234, 1235}).ok());
  for (const char* name : {"", "/config.json", "/unpacked.json", "/rootfs", "/rootfs/bin/sh"}) {
    struct stat info;
    ASSERT_EQ(lstat((base_ + "/b" + name).c_str(), &info), 0) << name;
    EXPECT_EQ(info.st_uid, 1234U) << name;
    EXPECT_EQ(info.st_gid, 1235U) << name;
  }
}

TEST_F(BundleUnpackTest, AManifestSurvivesItsText) {
  ASSERT_TRUE(Unpack("b").ok());
  const UniqueFd root(open((base_ + "/b/rootfs").c_str(), O_RDONLY | O_DIRECTORY));
  const TreeManifest manifest = ReadTree(root).value();
  EXPECT_EQ(ParseTree(SerializeTree(manifest)).value(), manifest);
  EXPECT_EQ(manifest.front().path, ".");
  for (const char* text : {"x", "{}", "[]", R"({"path":"b","type":"file"})" "\n" R"({"path":"a","type":"file"})"}) {
    EXPECT_FALSE(ParseTree(text).ok()) << text;
  }
}

}  // namespace
}  // namespace ocid
