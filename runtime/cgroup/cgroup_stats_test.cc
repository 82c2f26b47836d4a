#include "runtime/cgroup/cgroup_stats.h"

#include "gtest/gtest.h"

namespace ocid {
namespace {

TEST(ParseFlatKeyed, KeepsNumbersAndLeavesOutOtherLines) {
  const auto values = ParseFlatKeyed("usage_usec 12\nuser_usec 7\nodd\nodd x\n\n");
  EXPECT_EQ(values, (std::map<std::string, uint64_t>{{"usage_usec", 12}, {"user_usec", 7}}));
}

TEST(ParseLimit, MaxIsNoLimit) {
  EXPECT_EQ(*ParseLimit("max\n"), std::nullopt);
  EXPECT_EQ(*ParseLimit("4096\n"), 4096u);
  EXPECT_FALSE(ParseLimit("4096 4096").ok());
  EXPECT_FALSE(ParseLimit("").ok());
}

TEST(ParsePressure, ReadsBothLines) {
  const auto pressure = ParsePressure(
      "some avg10=1.50 avg60=0.25 avg300=0.00 total=1234\n"
      "full avg10=0.00 avg60=0.00 avg300=2.00 total=5\n");
  ASSERT_TRUE(pressure.ok()) << pressure.status();
  EXPECT_EQ(pressure->some, (PressureLine{1.5, 0.25, 0, 1234000}));
  EXPECT_EQ(pressure->full, (PressureLine{0, 0, 2, 5000}));
}

TEST(ParsePressure, RefusesWhatIsNotANumber) {
  EXPECT_FALSE(ParsePressure("some avg10=x\n").ok());
  EXPECT_FALSE(ParsePressure("some total=-1\n").ok());
}

TEST(ParseIoStat, ReadsADevicePerLineAndIgnoresUnknownFields) {
  const auto devices = ParseIoStat(
      "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 cost.vrate=100.00\n"
      "253:1 rbytes=9\n");
  ASSERT_TRUE(devices.ok()) << devices.status();
  EXPECT_EQ(*devices,
            (std::vector<IoDeviceStats>{{8, 0, 1, 2, 3, 4, 5, 6}, {253, 1, 9, 0, 0, 0, 0, 0}}));
}

TEST(ParseBlkio, JoinsBytesAndOperationsByDevice) {
  const auto devices = ParseBlkio("8:0 Read 10\n8:0 Write 20\n8:0 Total 30\nTotal 30\n",
                                  "8:0 Read 1\n8:0 Write 2\n254:0 Discard 3\nTotal 6\n");
  ASSERT_TRUE(devices.ok()) << devices.status();
  EXPECT_EQ(*devices,
            (std::vector<IoDeviceStats>{{8, 0, 10, 20, 1, 2, 0, 0}, {254, 0, 0, 0, 0, 0, 0, 3}}));
}

}  // namespace
}  // namespace ocid
