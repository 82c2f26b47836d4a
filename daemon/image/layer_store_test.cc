#include "daemon/image/layer_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "daemon/image/image_config.h"
#include "daemon/image/layer_testing.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

namespace fs = std::filesystem;

class LayerStoreTest : public testing::Test {
 protected:
  LayerStoreTest()
      : directory_(testing::TempDir() + "/layers-" +
                   testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(directory_);
    store_ = LayerStore::Open(directory_).value();
  }
  ~LayerStoreTest() override { fs::remove_all(directory_); }

  // Unpacks a stack of layers; its chain.
  std::vector<Digest> Unpack(const std::vector<std::string>& tars) {
    std::vector<Digest> diff_ids;
    for (const std::string& tar : tars) {
      diff_ids.push_back(Digest::Sha256Of(tar));
      const absl::Status status = store_->Unpack(
          ChainIds(diff_ids), [&]() -> absl::StatusOr<UniqueFd> { return MemoryFile(tar); },
          {.diff_id = diff_ids.back()});
      EXPECT_TRUE(status.ok()) << status;
    }
    return ChainIds(diff_ids);
  }
  std::string Read(const Digest& chain_id, const std::string& path) {
    std::ifstream file(store_->Path(chain_id) + "/" + path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  const std::string directory_;
  std::unique_ptr<LayerStore> store_;
};

TEST_F(LayerStoreTest, UpperLayersHoldWhatTheyChange) {
  const std::vector<Digest> chain =
      Unpack({MakeTar({Directory("d", 0750), File("d/a", "1"), File("gone", "")}),
              MakeTar({File("d/b", "2"), Whiteout(".wh.gone")})});
  EXPECT_EQ(Read(chain[0], "d/a"), "1");
  EXPECT_EQ(Read(chain[1], "d/b"), "2");
  EXPECT_FALSE(fs::exists(store_->Path(chain[1]) + "/d/a"));
  // A directory that the layer does not mention keeps the mode and time it has below.
  struct stat info;
  ASSERT_EQ(lstat((store_->Path(chain[1]) + "/d").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0750U);
  EXPECT_EQ(info.st_mtim.tv_sec, 1'000'000'000);
  // overlayfs's whiteout.
  ASSERT_EQ(lstat((store_->Path(chain[1]) + "/gone").c_str(), &info), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode));
  EXPECT_EQ(info.st_rdev, makedev(0, 0));
}

TEST_F(LayerStoreTest, TheRootKeepsItsModeThroughLayersThatDoNotMentionIt) {
  const std::vector<Digest> chain =
      Unpack({MakeTar({Directory("./", 0711)}), MakeTar({File("a", "")})});
  struct stat info;
  ASSERT_EQ(stat(store_->Path(chain[1]).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0711U);
  EXPECT_EQ(info.st_mtim.tv_sec, 1'000'000'000);
}

TEST_F(LayerStoreTest, HardLinksToLowerLayersAndLinksThroughThemResolve) {
  const std::vector<Digest> chain =
      Unpack({MakeTar({Directory("real"), Symlink("link", "/real"), File("a", "content")}),
              MakeTar({HardLink("b", "a"), File("link/f", "through")})});
  EXPECT_EQ(Read(chain[1], "b"), "content");
  EXPECT_EQ(Read(chain[1], "real/f"), "through");
}

TEST_F(LayerStoreTest, AccountFilesAreThoseOfTheWholeStack) {
  const std::vector<Digest> chain =
      Unpack({MakeTar({Directory("etc"), File("etc/passwd", "lower"), File("etc/group", "g")}),
              MakeTar({File("etc/passwd", "upper")}), MakeTar({Whiteout("etc/.wh.group")})});
  EXPECT_EQ(store_->Passwd(chain[0]).value(), "lower");
  EXPECT_EQ(store_->Passwd(chain[2]).value(), "upper");
  EXPECT_EQ(store_->Group(chain[1]).value(), "g");
  EXPECT_EQ(store_->Group(chain[2]).value(), std::nullopt);
}

TEST_F(LayerStoreTest, ALayerThatFailsLeavesNothing) {
  const std::string good = MakeTar({File("a", "")});
  const std::string bad = MakeTar({File("b", ""), File("../c", "")});
  const std::vector<Digest> base = Unpack({good});
  const std::vector<Digest> chain =
      ChainIds({Digest::Sha256Of(good), Digest::Sha256Of(bad)});
  const absl::Status status = store_->Unpack(
      chain, [&]() -> absl::StatusOr<UniqueFd> { return MemoryFile(bad); }, {});
  EXPECT_EQ(GetReason(status), "IMAGE_INVALID");
  EXPECT_FALSE(store_->Contains(chain[1]));
  EXPECT_TRUE(fs::is_empty(directory_ + "/.staging"));
}

TEST_F(LayerStoreTest, WhatWasInTheMakingIsGoneAfterARestart) {
  fs::create_directories(directory_ + "/.staging/7/fs/x");
  store_ = LayerStore::Open(directory_).value();
  EXPECT_TRUE(fs::is_empty(directory_ + "/.staging"));
  EXPECT_TRUE(store_->List().value().empty());
}

TEST_F(LayerStoreTest, OneLayerIsUnpackedOnceHoweverManyAsk) {
  const std::string tar = MakeTar({File("a", std::string(1 << 20, 'x'))});
  const std::vector<Digest> chain = ChainIds({Digest::Sha256Of(tar)});
  std::atomic<int> opened = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const absl::Status status = store_->Unpack(
          chain,
          [&]() -> absl::StatusOr<UniqueFd> {
            ++opened;
            return MemoryFile(tar);
          },
          {});
      EXPECT_TRUE(status.ok()) << status;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(opened, 1);
}

TEST_F(LayerStoreTest, ManyLayersStack) {
  std::vector<std::string> tars;
  for (int i = 0; i < 130; ++i) {
    tars.push_back(MakeTar({File("f" + std::to_string(i), std::to_string(i)), File("same", std::to_string(i))}));
  }
  const std::vector<Digest> chain = Unpack(tars);
  EXPECT_EQ(Read(chain[129], "same"), "129");
}

TEST_F(LayerStoreTest, ARemovedLayerIsGone) {
  const std::vector<Digest> chain = Unpack({MakeTar({File("a", "content")})});
  EXPECT_EQ(store_->List().value(), chain);
  EXPECT_GT(store_->Remove(chain[0]).value(), 0U);
  EXPECT_FALSE(store_->Contains(chain[0]));
  EXPECT_EQ(store_->Remove(chain[0]).value(), 0U);
}

}  // namespace
}  // namespace ocid
