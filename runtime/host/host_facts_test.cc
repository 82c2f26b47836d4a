#include "runtime/host/host_facts.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace ocid {
namespace {

TEST(ParseFilesystems, LeavesOutTheNodevMarks) {
  EXPECT_EQ(ParseFilesystems("nodev\tproc\nnodev\ttmpfs\n\text4\n"),
            (std::vector<std::string>{"proc", "tmpfs", "ext4"}));
}

TEST(ParseStatusField, FindsTheWholeKey) {
  const std::string status = "Name:\tx\nCapBndX:\t1\nCapBnd:\t000001ffffffffff\nSeccomp:\t0\n";
  EXPECT_EQ(ParseStatusField(status, "CapBnd", 16), 0x1ffffffffffu);
  EXPECT_EQ(ParseStatusField("MemTotal:       24641536 kB\n", "MemTotal", 10), 24641536u);
  EXPECT_EQ(ParseStatusField(status, "Missing", 10), 0u);
  EXPECT_EQ(ParseStatusField("CapBnd:", "CapBnd", 16), 0u);
  EXPECT_EQ(ParseStatusField("", "CapBnd", 16), 0u);
}

TEST(SplitWords, LeavesOutEmptyOnes) {
  EXPECT_EQ(SplitWords("capability,yama,,apparmor\n", ",\n"),
            (std::vector<std::string>{"capability", "yama", "apparmor"}));
  EXPECT_TRUE(SplitWords("\n", ",\n").empty());
}

TEST(ReadHostDescription, SeesThisMachine) {
  const auto host = ReadHostDescription();
  ASSERT_TRUE(host.ok()) << host.status();
  EXPECT_EQ(host->boot_id.size(), 36u);
  EXPECT_FALSE(host->kernel_release.empty());
  EXPECT_TRUE(host->HasFilesystem("proc"));
  EXPECT_FALSE(host->HasFilesystem("no-such-fs"));
  EXPECT_GT(host->cpus, 0u);
  EXPECT_GT(host->memory_bytes, 0u);
}

}  // namespace
}  // namespace ocid
