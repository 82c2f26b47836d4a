#include "daemon/spec/drift/drift_parts.h"

#include <unistd.h>

#include <string>

#include "daemon/spec/drift/mount_table.h"
#include "daemon/spec/drift/process_directory.h"
#include "gtest/gtest.h"

namespace ocid {
namespace {

struct FileCase {
  const char* file;
  const char* wanted;
  const char* text;
  bool holds;
  bool systemd = false;
};

TEST(CgroupFileHolds, TakesWhatKernelsMakeOfAValue) {
  const FileCase kCases[] = {
      {"memory.max", "1000000", "999424\n", true},  // whole pages
      {"memory.max", "1000000", "1003520\n", false},
      {"memory.max", "max", "max\n", true},
      {"memory.max", "max", "4096\n", false},
      {"memory.limit_in_bytes", "-1", "9223372036854771712\n", true},
      {"memory.swappiness", "60", "60\n", true},
      {"pids.max", "100", "100\n", true},
      {"pids.max", "100", "max\n", false},
      {"cpu.max", "50000", "50000 100000\n", true},
      {"cpu.max", "50000 200000", "50000 100000\n", false},
      {"cpu.max", "max 100000", "max 100000\n", true},
      {"cpu.max", "50000 100000", "100000 200000\n", false},
      {"cpu.max", "50000 100000", "100000 200000\n", true, /*systemd=*/true},
      {"cpu.weight", "100", "100\n", true},
      {"cpuset.cpus", "0,1,2", "0-2\n", true},
      {"cpuset.cpus", "0-1", "0-2\n", false},
      {"cpuset.cpus", "", "\n", true},
      {"cpuset.cpus", "", "0\n", false},
      {"hugetlb.2MB.max", "5000000", "4194304\n", true},
      {"hugetlb.2MB.max", "5000000", "2097152\n", false},
      {"io.max", "", "", true},
      {"io.max", "", "8:0 rbps=1000 wbps=max riops=max wiops=max\n", false},
      {"io.max", "8:0 rbps=1000", "7:0 rbps=max\n8:0 rbps=1000 wbps=max riops=max\n", true},
      {"io.max", "8:0 rbps=1000", "8:0 rbps=2000 wbps=max riops=max wiops=max\n", false},
      {"io.max", "8:0 rbps=1000", "", false},
      {"io.max", "8:0 rbps=max", "", true},
      {"io.weight", "default 200", "default 200\n", true},
      {"io.bfq.weight", "200", "default 200\n", true},
      {"io.bfq.weight", "200", "default 100\n", false},
      {"rdma.max", "mlx5_0 hca_handle=2", "mlx5_0 hca_handle=2 hca_object=max\n", true},
      {"blkio.throttle.read_bps_device", "8:0 1000", "8:0 1000\n", true},
      {"blkio.throttle.read_bps_device", "8:0 1000", "8:0 2000\n", false},
      {"memory.oom_control", "1", "oom_kill_disable 1\nunder_oom 0\n", true},
      {"memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\n", false},
  };
  for (const FileCase& c : kCases) {
    std::string observed;
    EXPECT_EQ(CgroupFileHolds(c.file, c.wanted, c.text, c.systemd, observed), c.holds)
        << c.file << " wanted " << c.wanted << " has " << c.text << " observed " << observed;
  }
}

TEST(CgroupFileHolds, SaysWhatIsThere) {
  std::string observed;
  EXPECT_FALSE(CgroupFileHolds("io.max", "8:0 rbps=1000", "8:0 rbps=2000 wbps=max\n", false,
                               observed));
  EXPECT_EQ(observed, "8:0 rbps=2000 wbps=max");
}

// capabilities(7): P'(permitted) = (P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding))
// | P'(ambient), and for root both F are everything.
TEST(AfterExecve, RootHasItsBoundingSetAgain) {
  const CapabilitySets sets = AfterExecve(
      {.bounding = 0b0111, .effective = 0b0001, .permitted = 0b0001, .inheritable = 0b1000}, true,
      /*no_new_privileges=*/false);
  EXPECT_EQ(sets.permitted, 0b1111u);
  EXPECT_EQ(sets.effective, 0b1111u);
  EXPECT_EQ(sets.inheritable, 0b1000u);
}

TEST(AfterExecve, WithNoNewPrivilegesRootGetsNothingNew) {
  const CapabilitySets sets = AfterExecve(
      {.bounding = 0b0111, .effective = 0b0001, .permitted = 0b0001}, true, true);
  EXPECT_EQ(sets.permitted, 0b0001u);
}

TEST(AfterExecve, OthersKeepTheAmbientSetAlone) {
  const CapabilitySets sets = AfterExecve({.bounding = 0b111,
                                           .effective = 0b111,
                                           .permitted = 0b111,
                                           .inheritable = 0b001,
                                           .ambient = 0b001},
                                          false, false);
  EXPECT_EQ(sets.permitted, 0b001u);
  EXPECT_EQ(sets.effective, 0b001u);
  EXPECT_EQ(sets.bounding, 0b111u);
}

TEST(ParseMountTable, ReadsWhatTheKernelWrites) {
  const auto mounts = ParseMountTable(
      "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
      "37 36 0:5 / /proc ro,nosuid shared:2 master:3 propagate_from:4 - proc proc rw\n"
      "no line of it\n"
      "38 36 0:6 / /x rw\n");
  ASSERT_EQ(mounts.size(), 2u);
  EXPECT_EQ(mounts[0].mount_point, "/mnt 2");
  EXPECT_EQ(mounts[0].root, "/mnt1");
  EXPECT_EQ(mounts[0].device, "98:0");
  EXPECT_EQ(mounts[0].type, "ext3");
  EXPECT_FALSE(mounts[0].HasOption("ro"));
  EXPECT_TRUE(mounts[1].HasOption("ro"));
  EXPECT_EQ(mounts[1].type, "proc");
  EXPECT_EQ(mounts[1].Describe(), "proc on /proc (ro, nosuid)");
}

TEST(ProcessDirectory, ReadsThisProcessAndNoOtherOfItsPid) {
  const auto self = ProcessDirectory::Open(::getpid(), 0);
  ASSERT_TRUE(self.ok()) << self.status();
  const auto status = self->Read("status");
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(StatusField(*status, "Pid"), std::to_string(::getpid()));
  EXPECT_FALSE(StatusField(*status, "NoSuchField").has_value());
  EXPECT_FALSE(self->Read("status", 10).ok());
  EXPECT_FALSE(ProcessDirectory::Open(::getpid(), 1).ok());
  EXPECT_FALSE(self->ended());
}

}  // namespace
}  // namespace ocid
