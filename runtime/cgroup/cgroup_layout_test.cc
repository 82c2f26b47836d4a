#include "runtime/cgroup/cgroup_layout.h"

#include "gtest/gtest.h"

namespace ocid {
namespace {

constexpr char kHybrid[] =
    "23 1 254:0 / / rw,relatime - ext4 /dev/root rw\n"
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory,xattr\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup "
    "rw,xattr,release_agent=/lib/memory,name=systemd\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup rw\n"
    "55 31 0:32 / /mnt/again\\040here rw,relatime - cgroup cgroup rw,memory\n";

TEST(ParseCgroupLayout, TellsAHybridHost) {
  const auto layout = ParseCgroupLayout(kHybrid);
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->mode(), CgroupMode::kHybrid);
  EXPECT_EQ(layout->unified_mount, "/sys/fs/cgroup/unified");
  ASSERT_EQ(layout->v1.size(), 3u);
  EXPECT_EQ(layout->v1[0].Label(), "cpu,cpuacct");
  EXPECT_EQ(layout->v1[2].Label(), "name=systemd");
  ASSERT_NE(layout->FindV1("cpuacct"), nullptr);
  EXPECT_EQ(layout->FindV1("cpuacct")->mount_point, "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_EQ(layout->FindV1("memory")->mount_point, "/sys/fs/cgroup/memory");
  EXPECT_EQ(layout->FindV1("pids"), nullptr);
}

TEST(ParseCgroupLayout, TellsAUnifiedHost) {
  const auto layout = ParseCgroupLayout(
      "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate\n");
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->mode(), CgroupMode::kUnified);
  EXPECT_EQ(layout->Describe(), "unified: cgroup2 at /sys/fs/cgroup (no controllers)");
}

TEST(ParseCgroupLayout, UndoesTheEscapesOfMountinfo) {
  const auto layout = ParseCgroupLayout("30 23 0:26 / /a\\040b\\134 rw - cgroup2 cgroup2 rw\n");
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->unified_mount, "/a b\\");
}

TEST(ParseCgroupLayout, NothingMountedIsNotAnError) {
  const auto layout = ParseCgroupLayout("");
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->mode(), CgroupMode::kNone);
}

TEST(ParseCgroupLayout, RefusesWhatIsNotMountinfo) {
  EXPECT_FALSE(ParseCgroupLayout("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n").ok());
  EXPECT_FALSE(ParseCgroupLayout("1 2 - cgroup2\n").ok());
}

}  // namespace
}  // namespace ocid
