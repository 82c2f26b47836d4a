// The store over OCI layouts and docker save archives that the tests write.
#include "daemon/image/image_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "daemon/image/layer_testing.h"
#include "daemon/image/layout_testing.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class ImageStoreTest : public testing::Test {
 protected:
  ImageStoreTest()
      : base_(testing::TempDir() + "/images-" +
              testing::UnitTest::GetInstance()->current_test_info()->name()),
        layout_((fs::remove_all(base_), base_ + "/layout")) {
    Reopen();
  }
  ~ImageStoreTest() override {
    store_.reset();
    fs::remove_all(base_);
  }
  void Reopen() {
    store_.reset();
    absl::StatusOr<std::unique_ptr<ImageStore>> store =
        ImageStore::Open({.directory = base_ + "/store", .limits = {}});
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  absl::StatusOr<ImageRecord> Load(const std::string& path, const std::string& name = "") {
    return store_->Load(path, name, Platform::Host());
  }
  static std::string Busybox() { return MakeTar({Directory("bin"), File("bin/sh", "#!", 0755)}); }
  size_t CountFiles(const std::string& path) {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(base_ + "/store/" + path), fs::directory_iterator()));
  }

  const std::string base_;
  TestLayout layout_;
  std::unique_ptr<ImageStore> store_;
};

TEST_F(ImageStoreTest, ALayoutIsLoadedByItsTag) {
  layout_.AddImage({Busybox(), MakeTar({File("etc-file", "x")})}, "v1", {{"author", "Ann"}});
  const absl::StatusOr<ImageRecord> record = Load(layout_.path());
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->names, std::vector<std::string>{"v1"});
  EXPECT_EQ(record->layers.size(), 2U);
  EXPECT_EQ(store_->Get("v1")->manifest, record->manifest);
  EXPECT_EQ(store_->Get(record->manifest.ToString())->names, record->names);
  std::ifstream file(store_->layers().Path(ChainOf(*record)[0]) + "/bin/sh");
  EXPECT_TRUE(file.good());
}

TEST_F(ImageStoreTest, ImagesOutliveTheStoreObject) {
  layout_.AddImage({Busybox()}, "v1");
  const ImageRecord before = Load(layout_.path()).value();
  Reopen();
  const ImageRecord after = store_->Get("v1").value();
  EXPECT_EQ(after.manifest, before.manifest);
  EXPECT_EQ(after.size_bytes, before.size_bytes);
  EXPECT_EQ(after.load_time_unix_ns, before.load_time_unix_ns);
}

TEST_F(ImageStoreTest, InspectShowsBothForms) {
  layout_.AddImage({Busybox()}, "v1", {{"config", {{"Cmd", {"sh"}}}}});
  ASSERT_TRUE(Load(layout_.path()).ok());
  const ImageDetails details = store_->Inspect("v1").value();
  EXPECT_EQ(json::parse(details.forms.oci_json)["config"]["Cmd"][0], "sh");
  EXPECT_EQ(json::parse(details.forms.docker_json)["container_config"]["Cmd"][0], "sh");
  EXPECT_EQ(details.annotations.at("a"), "b");
  EXPECT_EQ(Digest::Sha256Of(details.manifest_json), details.record.manifest);
}

TEST_F(ImageStoreTest, AnIndexResolvesToThePlatform) {
  json other = layout_.AddImage({Busybox()}, "", {{"os", "linux"}, {"architecture", "s390x"}});
  json mine = layout_.AddImage({Busybox()}, "", {{"author", "mine"}});
  other["platform"] = {{"os", "linux"}, {"architecture", "s390x"}};
  mine["platform"] = {{"os", "linux"}, {"architecture", Platform::Host().architecture}};
  json index = layout_.Blob(kOciIndexType,
                            json{{"schemaVersion", 2}, {"manifests", {other, mine}}}.dump());
  index["annotations"] = {{"org.opencontainers.image.ref.name", "multi"}};
  layout_.index() = json::array({index});
  layout_.WriteIndex();
  const absl::StatusOr<ImageRecord> record = Load(layout_.path());
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->manifest.ToString(), mine["digest"]);
  EXPECT_EQ(record->root.ToString(), index["digest"]);
  EXPECT_EQ(GetReason(store_->Load(layout_.path(), "", {"linux", "riscv64", ""}).status()),
            "IMAGE_NOT_FOUND");
  const auto foreign = store_->Load(layout_.path(), "z", {"linux", "s390x", ""});
  ASSERT_TRUE(foreign.ok()) << foreign.status();
  EXPECT_EQ(foreign->platform.architecture, "s390x");
}

TEST_F(ImageStoreTest, OneOfSeveralImagesIsChosenByName) {
  layout_.AddImage({Busybox()}, "one");
  layout_.AddImage({MakeTar({File("two", "")})}, "two");
  EXPECT_EQ(GetReason(Load(layout_.path()).status()), "IMAGE_INVALID");
  EXPECT_EQ(GetReason(Load(layout_.path(), "three").status()), "IMAGE_INVALID");
  EXPECT_EQ(Load(layout_.path(), "two")->names, std::vector<std::string>{"two"});
}

TEST_F(ImageStoreTest, ContentThatIsNotItsDigestIsRefusedWhereverItStands) {
  const json descriptor = layout_.AddImage({Busybox()}, "v1");
  std::vector<std::string> blobs;
  for (const auto& entry : fs::directory_iterator(layout_.path() + "/blobs/sha256")) {
    blobs.push_back(entry.path());
  }
  ASSERT_EQ(blobs.size(), 3U);
  for (const std::string& blob : blobs) {
    std::ifstream in(blob, std::ios::binary);
    const std::string original((std::istreambuf_iterator<char>(in)), {});
    std::string changed = original;
    changed[changed.size() / 2] ^= 1;
    std::ofstream(blob, std::ios::binary | std::ios::trunc) << changed;
    EXPECT_EQ(GetReason(Load(layout_.path()).status()), "IMAGE_INVALID") << blob;
    std::ofstream(blob, std::ios::binary | std::ios::trunc) << original.substr(1);
    EXPECT_EQ(GetReason(Load(layout_.path()).status()), "IMAGE_INVALID") << blob;
    std::ofstream(blob, std::ios::binary | std::ios::trunc) << original;
  }
  EXPECT_EQ(store_->Get("v1").status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(Load(layout_.path()).ok());
}

TEST_F(ImageStoreTest, ABlobThatIsALinkIsNotFollowed) {
  layout_.AddImage({Busybox()}, "v1");
  const std::string blob = fs::directory_iterator(layout_.path() + "/blobs/sha256")->path();
  fs::rename(blob, base_ + "/outside");
  fs::create_symlink(base_ + "/outside", blob);
  EXPECT_EQ(GetReason(Load(layout_.path()).status()), "IMAGE_INVALID");
}

TEST_F(ImageStoreTest, LayersAndDiffIdsMustBeAsMany) {
  json descriptor = layout_.AddImage({Busybox()}, "v1");
  const std::string path =
      layout_.path() + "/blobs/sha256/" + std::string(descriptor["digest"]).substr(7);
  std::ifstream in(path);
  json manifest = json::parse(in);
  manifest["layers"].push_back(manifest["layers"][0]);
  json changed = layout_.Blob(kOciManifestType, manifest.dump());
  changed["annotations"] = descriptor["annotations"];
  layout_.index() = json::array({changed});
  layout_.WriteIndex();
  EXPECT_EQ(GetReason(Load(layout_.path()).status()), "IMAGE_INVALID");
}

TEST_F(ImageStoreTest, AnImageWithoutLayersIsAnImage) {
  layout_.AddImage({}, "empty");
  const absl::StatusOr<ImageRecord> record = Load(layout_.path());
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_TRUE(record->layers.empty());
}

TEST_F(ImageStoreTest, OneLayerTwiceIsTwoLayers) {
  layout_.AddImage({Busybox(), Busybox()}, "twice");
  const absl::StatusOr<ImageRecord> record = Load(layout_.path());
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(ChainOf(*record).size(), 2U);
}

TEST_F(ImageStoreTest, ALayoutInAnArchiveIsLoadedToo) {
  layout_.AddImage({Busybox()}, "v1");
  std::vector<TarEntry> entries;
  for (const auto& entry : fs::recursive_directory_iterator(layout_.path())) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    entries.push_back(File("./" + fs::relative(entry.path(), layout_.path()).string(),
                           std::string((std::istreambuf_iterator<char>(in)), {})));
  }
  const std::string tar = MakeTar(entries);
  std::ofstream(base_ + "/layout.tar", std::ios::binary) << tar;
  std::ofstream(base_ + "/layout.tar.gz", std::ios::binary)
      << Compress(tar, TestCompression::kGzip);
  for (const char* name : {"/layout.tar", "/layout.tar.gz"}) {
    const absl::StatusOr<ImageRecord> record = Load(base_ + name, "from-archive");
    ASSERT_TRUE(record.ok()) << record.status();
    EXPECT_TRUE(fs::is_empty(base_ + "/store/staging"));
  }
}

TEST_F(ImageStoreTest, ADockerSaveArchiveIsLoadedWithItsTags) {
  const std::string tar = Busybox();
  const std::string config =
      json{{"docker_version", "20"}, {"os", "linux"},
           {"architecture", Platform::Host().architecture}, {"config", {{"Cmd", {"sh"}}}},
           {"rootfs", {{"type", "layers"}, {"diff_ids", {Digest::Sha256Of(tar).ToString(),
                                                        Digest::Sha256Of(tar).ToString()}}}}}
          .dump();
  const json manifest = {{{"Config", "abc.json"},
                          {"RepoTags", {"busybox:latest", "busybox:1"}},
                          {"Layers", {"l1/layer.tar", "l2/layer.tar"}}}};
  std::ofstream(base_ + "/saved.tar", std::ios::binary)
      << MakeTar({File("manifest.json", manifest.dump()), File("abc.json", config),
                  File("l1/layer.tar", tar), Symlink("l2/layer.tar", "../l1/layer.tar")});
  const absl::StatusOr<ImageRecord> record = Load(base_ + "/saved.tar");
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->names, (std::vector<std::string>{"busybox:1", "busybox:latest"}));
  EXPECT_EQ(store_->Inspect("busybox:1")->forms.docker_json, config);
}

TEST_F(ImageStoreTest, WhatIsNoImageIsRefused) {
  fs::create_directories(base_ + "/nothing");
  EXPECT_EQ(GetReason(Load(base_ + "/nothing").status()), "IMAGE_INVALID");
  EXPECT_EQ(GetReason(Load("relative").status()), "IMAGE_INVALID");
  EXPECT_EQ(GetReason(Load(base_ + "/missing").status()), "IMAGE_INVALID");
  ASSERT_EQ(mkfifo((base_ + "/fifo").c_str(), 0600), 0);
  EXPECT_EQ(GetReason(Load(base_ + "/fifo").status()), "IMAGE_INVALID");
  std::ofstream(base_ + "/text") << "just text";
  EXPECT_EQ(GetReason(Load(base_ + "/text").status()), "IMAGE_INVALID");
  layout_.AddImage({Busybox()}, "v1");
  for (const char* name : {"with space", "ctrl\n", "\xc3\xbc"}) {
    EXPECT_EQ(GetReason(Load(layout_.path(), name).status()), "IMAGE_INVALID") << name;
  }
}

TEST_F(ImageStoreTest, ANameMovesToTheNewestImage) {
  layout_.AddImage({Busybox()}, "v1");
  const Digest first = Load(layout_.path())->manifest;
  layout_.index() = json::array();
  layout_.AddImage({MakeTar({File("other", "")})}, "v1");
  const Digest second = Load(layout_.path())->manifest;
  EXPECT_NE(first, second);
  EXPECT_EQ(store_->Get("v1")->manifest, second);
}

TEST_F(ImageStoreTest, ContentGoesWithTheLastName) {
  layout_.AddImage({Busybox()}, "v1");
  ASSERT_TRUE(Load(layout_.path()).ok());
  ASSERT_TRUE(Load(layout_.path(), "v2").ok());
  EXPECT_EQ(store_->Delete("v1").value(), 0U);
  EXPECT_TRUE(store_->Get("v2").ok());
  EXPECT_GT(store_->Delete("v2").value(), 0U);
  EXPECT_EQ(CountFiles("blobs/sha256"), 0U);
  EXPECT_EQ(CountFiles("layers"), 1U);  // .staging
  EXPECT_EQ(GetReason(store_->Delete("v2").status()), "IMAGE_NOT_FOUND");
}

TEST_F(ImageStoreTest, AHoldKeepsAnImageWhoseNamesAreGone) {
  layout_.AddImage({Busybox()}, "v1");
  const ImageRecord record = Load(layout_.path()).value();
  auto hold = store_->Hold("v1", "container-1").value();
  EXPECT_EQ(store_->Holders(record.manifest), std::vector<std::string>{"container-1"});
  EXPECT_EQ(store_->Delete("v1").value(), 0U);
  EXPECT_TRUE(store_->Prune()->names.empty());
  EXPECT_EQ(store_->Get("v1").status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(store_->Hold(record.manifest.ToString(), "container-1").ok());
  hold.reset();
  EXPECT_GT(store_->CollectGarbage().value(), 0U);
  EXPECT_EQ(CountFiles("blobs/sha256"), 0U);
}

TEST_F(ImageStoreTest, PruneKeepsWhatIsHeldAndSharedContent) {
  layout_.AddImage({Busybox()}, "one");
  layout_.AddImage({Busybox(), MakeTar({File("x", "")})}, "two");
  ASSERT_TRUE(Load(layout_.path(), "one").ok());
  ASSERT_TRUE(Load(layout_.path(), "two").ok());
  auto hold = store_->Hold("one", "c").value();
  const ImageStore::PruneResult result = store_->Prune().value();
  EXPECT_EQ(result.names, std::vector<std::string>{"two"});
  EXPECT_GT(result.freed_bytes, 0U);
  EXPECT_TRUE(store_->layers().Contains(ChainOf(store_->Get("one").value())[0]));
  EXPECT_EQ(CountFiles("layers"), 2U);
}

TEST_F(ImageStoreTest, AnImportThatFailsHalfwayIsTakenUpByTheNext) {
  layout_.AddImage({Busybox(), MakeTar({File("big", std::string(3 << 20, 'x'))})}, "v1");
  for (int budget = 0; budget < 12; ++budget) {
    std::atomic<int> calls = 0;
    const auto cut = store_->Load(layout_.path(), "", Platform::Host(),
                                  [&](const std::vector<LayerProgress>&) {
                                    return calls++ < budget ? absl::OkStatus()
                                                            : absl::CancelledError("cut");
                                  });
    if (!cut.ok()) {
      EXPECT_EQ(cut.status().code(), absl::StatusCode::kCancelled);
      EXPECT_FALSE(store_->Get("v1").ok());
    }
    Reopen();
  }
  const absl::StatusOr<ImageRecord> record = Load(layout_.path());
  ASSERT_TRUE(record.ok()) << record.status();
  const std::vector<Digest> blobs = store_->content().List().value();
  EXPECT_EQ(blobs.size(), 4U);
  for (const Digest& digest : blobs) {
    EXPECT_TRUE(store_->content().Verify(digest).ok());
  }
}

TEST_F(ImageStoreTest, AnUnreadableIndexIsSetAside) {
  layout_.AddImage({Busybox()}, "v1");
  ASSERT_TRUE(Load(layout_.path()).ok());
  std::ofstream(base_ + "/store/index.json") << "{";
  Reopen();
  EXPECT_EQ(store_->warnings().size(), 1U);
  EXPECT_TRUE(store_->Snapshot()->empty());
  EXPECT_TRUE(Load(layout_.path()).ok());
}

TEST_F(ImageStoreTest, ImportsDeletesAndPrunesAtTheSameTimeLeaveAWholeStore) {
  for (int i = 0; i < 4; ++i) {
    layout_.AddImage({Busybox(), MakeTar({File("f", std::to_string(i))})}, "i" + std::to_string(i));
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const std::string name = "i" + std::to_string(i);
      for (int round = 0; round < 4; ++round) {
        const absl::StatusOr<ImageRecord> record = Load(layout_.path(), name);
        EXPECT_TRUE(record.ok()) << record.status();
        auto hold = store_->Hold(name, name);
        if (hold.ok()) {
          for (const Digest& chain_id : ChainOf((*hold)->image())) {
            EXPECT_TRUE(store_->layers().Contains(chain_id));
          }
        }
        if (round % 2 == 0) static_cast<void>(store_->Delete(name));
        if (round % 3 == 0) {
          EXPECT_TRUE(store_->Prune().ok());
        }
      }
      EXPECT_TRUE(Load(layout_.path(), name).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::shared_ptr<const ImageRecords> records = store_->Snapshot();
  for (const auto& [manifest, record] : *records) {
    EXPECT_TRUE(store_->content().Verify(record.config).ok());
    for (const StoredLayer& layer : record.layers) {
      EXPECT_TRUE(store_->content().Verify(layer.digest).ok());
    }
  }
}

}  // namespace
}  // namespace ocid
