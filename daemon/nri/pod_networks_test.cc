#include "daemon/nri/pod_networks.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace ocid {
namespace {

ino_t Inode(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

class PodNetworksTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    auto opened = PodNetworks::Open(folder_ + "/networks");
    ASSERT_TRUE(opened.ok()) << opened.status();
    networks_ = *std::move(opened);
  }

  void TearDown() override {
    if (networks_ == nullptr) return;
    EXPECT_TRUE(networks_->RemoveUnless([](const std::string&) { return false; }).ok());
    std::filesystem::remove_all(folder_);
  }

  std::string folder_ = testing::TempDir() + "/pod_networks_XXXXXX";
  std::unique_ptr<PodNetworks> networks_;
};

TEST_F(PodNetworksTest, AreOthersThanOurs) {
  const ino_t own = Inode("/proc/self/ns/net");
  ASSERT_TRUE(networks_->Make("a").ok());
  ASSERT_TRUE(networks_->Make("b").ok());
  EXPECT_TRUE(networks_->Has("a"));
  EXPECT_NE(Inode(networks_->PathFor("a")), own);
  EXPECT_NE(Inode(networks_->PathFor("a")), Inode(networks_->PathFor("b")));
  EXPECT_EQ(Inode("/proc/thread-self/ns/net"), own);
}

TEST_F(PodNetworksTest, AreGoneOnceRemoved) {
  ASSERT_TRUE(networks_->Make("a").ok());
  ASSERT_TRUE(networks_->Remove("a").ok());
  EXPECT_FALSE(networks_->Has("a"));
  EXPECT_FALSE(std::filesystem::exists(networks_->PathFor("a")));
  EXPECT_TRUE(networks_->Remove("a").ok());
}

TEST_F(PodNetworksTest, OneThatIsThereIsReplaced) {
  ASSERT_TRUE(networks_->Make("a").ok());
  // Held, so that its number is not given to the next one.
  std::ifstream held(networks_->PathFor("a"));
  const ino_t before = Inode(networks_->PathFor("a"));
  ASSERT_TRUE(networks_->Make("a").ok());
  EXPECT_TRUE(networks_->Has("a"));
  EXPECT_NE(Inode(networks_->PathFor("a")), before);
}

TEST_F(PodNetworksTest, OneThatIsMadeInAdvanceIsTakenOnce) {
  networks_->MakeSpare();  // not before there was one at all
  ASSERT_TRUE(networks_->Make("a").ok());
  networks_->MakeSpare();
  networks_->MakeSpare();
  ASSERT_TRUE(networks_->Make("b").ok());
  ASSERT_TRUE(networks_->Make("c").ok());
  EXPECT_NE(Inode(networks_->PathFor("a")), Inode(networks_->PathFor("b")));
  EXPECT_NE(Inode(networks_->PathFor("b")), Inode(networks_->PathFor("c")));
  EXPECT_TRUE(networks_->Has("b") && networks_->Has("c"));
}

// A daemon that was killed between the file and the mount.
TEST_F(PodNetworksTest, AFileThatNothingIsBoundToIsNone) {
  std::ofstream(networks_->PathFor("a")).close();
  EXPECT_FALSE(networks_->Has("a"));
  EXPECT_TRUE(networks_->Make("a").ok());
  EXPECT_TRUE(networks_->Has("a"));
}

TEST_F(PodNetworksTest, ThoseThatAreNotKeptAreRemoved) {
  ASSERT_TRUE(networks_->Make("a").ok());
  ASSERT_TRUE(networks_->Make("b").ok());
  std::ofstream(networks_->PathFor("c")).close();
  ASSERT_TRUE(networks_->RemoveUnless([](const std::string& id) { return id == "b"; }).ok());
  EXPECT_FALSE(std::filesystem::exists(networks_->PathFor("a")));
  EXPECT_TRUE(networks_->Has("b"));
  EXPECT_FALSE(std::filesystem::exists(networks_->PathFor("c")));
}

}  // namespace
}  // namespace ocid
