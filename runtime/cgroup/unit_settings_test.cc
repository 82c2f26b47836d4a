#include "runtime/cgroup/unit_settings.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/cgroup_settings.h"

namespace ocid {
namespace {

using nlohmann::json;

std::string Compile(const char* text, const CgroupLayout& layout) {
  const auto resources = ParseResources(json::parse(text));
  if (!resources.ok()) return resources.status().ToString();
  const UnitSettings unit = CompileUnitSettings(*resources, layout);
  std::string out;
  for (const UnitProperty& property : unit.properties) {
    absl::StrAppend(&out, DescribeUnitProperty(property), "\n");
  }
  const CgroupSettings rest = CompileSettings(unit.rest, layout);
  for (const CgroupSetting& setting : rest.settings) {
    absl::StrAppend(&out, "rest ", DescribeCgroupSetting(setting), "\n");
  }
  if (rest.device_program) absl::StrAppend(&out, "rest device program\n");
  return out;
}

CgroupLayout Unified() {
  CgroupLayout layout;
  layout.unified_mount = "/sys/fs/cgroup";
  layout.unified_controllers = {"cpu", "cpuset", "io", "memory", "pids", "hugetlb"};
  return layout;
}

CgroupLayout Hybrid() {
  CgroupLayout layout;
  layout.unified_mount = "/sys/fs/cgroup/unified";
  for (const char* controller : {"cpu", "cpuset", "memory", "devices", "blkio", "pids"}) {
    layout.v1.push_back({{controller}, "", absl::StrCat("/sys/fs/cgroup/", controller)});
  }
  return layout;
}

constexpr char kEverything[] = R"({
  "devices": [{"allow": false, "access": "rwm"},
              {"allow": true, "type": "c", "access": "m"},
              {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw"},
              {"allow": true, "type": "c", "major": 136, "access": "rw"},
              {"allow": true, "type": "b", "major": 8, "minor": 1, "access": "r"}],
  "memory": {"limit": 67108864, "swap": 100663296, "reservation": 33554432},
  "cpu": {"shares": 1024, "quota": 33333, "period": 100000, "burst": 1000, "cpus": "0-2,9",
          "mems": "0"},
  "pids": {"limit": 64},
  "blockIO": {"weight": 500,
              "weightDevice": [{"major": 8, "minor": 0, "weight": 1000}],
              "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1048576}]},
  "unified": {"memory.high": "50331648", "memory.oom.group": "1"}
})";

TEST(CompileUnitSettings, OnCgroup2AlmostEverythingIsAProperty) {
  EXPECT_EQ(Compile(kEverything, Unified()),
            "DevicePolicy=strict\n"
            "DeviceAllow=[]\n"
            "DeviceAllow=[char-* m, /dev/char/1:3 rw, char-136 rw, /dev/block/8:1 r]\n"
            "MemoryMax=67108864\n"
            "MemoryLow=33554432\n"
            "MemorySwapMax=33554432\n"
            "CPUWeight=100\n"
            "CPUQuotaPeriodUSec=100000\n"
            "CPUQuotaPerSecUSec=340000\n"
            "AllowedCPUs=[07 02]\n"
            "AllowedMemoryNodes=[01]\n"
            "TasksMax=64\n"
            "IOWeight=4950\n"
            "IODeviceWeight=[/dev/block/8:0 10000]\n"
            "IOReadBandwidthMax=[/dev/block/8:0 1048576]\n"
            "MemoryHigh=50331648\n"
            "rest v2 cpu.max.burst = 1000\n"
            "rest v2 memory.oom.group = 1\n");
}

TEST(CompileUnitSettings, OnAHybridHostWhatSystemdLacksGoesToFiles) {
  EXPECT_EQ(Compile(kEverything, Hybrid()),
            "DevicePolicy=strict\n"
            "DeviceAllow=[]\n"
            "DeviceAllow=[char-* m, /dev/char/1:3 rw, char-136 rw, /dev/block/8:1 r]\n"
            "MemoryMax=67108864\n"
            "CPUShares=1024\n"
            "CPUQuotaPeriodUSec=100000\n"
            "CPUQuotaPerSecUSec=340000\n"
            "TasksMax=64\n"
            "rest v1 memory.memsw.limit_in_bytes = 100663296\n"
            "rest v1 memory.soft_limit_in_bytes = 33554432\n"
            "rest v1 cpu.cfs_burst_us = 1000\n"
            "rest v1 cpuset.cpus = 0-2,9\n"
            "rest v1 cpuset.mems = 0\n"
            "rest v1 blkio.weight = 500 or blkio.bfq.weight = 500\n"
            "rest v1 blkio.weight_device = 8:0 1000 or blkio.bfq.weight_device = 8:0 1000\n"
            "rest v1 blkio.throttle.read_bps_device = 8:0 1048576\n");
}

TEST(CompileUnitSettings, WhatIsNotAskedIsNotSet) { EXPECT_EQ(Compile("{}", Unified()), ""); }

TEST(CompileUnitSettings, NoLimitIsInfinity) {
  EXPECT_EQ(Compile(R"({"memory": {"limit": -1, "swap": -1}, "cpu": {"quota": -1},
                        "pids": {"limit": -1}})",
                    Unified()),
            "MemoryMax=infinity\nMemorySwapMax=infinity\nCPUQuotaPerSecUSec=infinity\n"
            "TasksMax=infinity\n");
}

TEST(CompileUnitSettings, APolicyThatIsNoListOfAllowedDevicesIsEnforcedByAProgram) {
  EXPECT_EQ(Compile(R"({"devices": [{"allow": true, "access": "rwm"},
                                    {"allow": false, "type": "b", "major": 8, "minor": 0}]})",
                    Unified()),
            "rest device program\n");
}

TEST(CompileUnitSettings, AllowingEverythingTakesTheRestrictionAway) {
  EXPECT_EQ(Compile(R"({"devices": [{"allow": true, "access": "rwm"}]})", Unified()),
            "DevicePolicy=auto\nDeviceAllow=[]\n");
}

TEST(CompileUnitSettings, AUnifiedValueThatIsNoNumberIsWrittenAsItIs) {
  EXPECT_EQ(Compile(R"({"unified": {"memory.max": "64M", "cpu.max": "max 50000"}})", Unified()),
            "CPUQuotaPeriodUSec=50000\nCPUQuotaPerSecUSec=infinity\n"
            "rest v2 memory.max = 64M\n");
}

TEST(CompileUnitSettings, DeviceRulesAreAProgramTooWhereTheirV1HierarchyIsNotEntered) {
  CgroupLayout layout = Hybrid();
  std::erase_if(layout.v1, [](const V1Hierarchy& hierarchy) {
    return hierarchy.controllers[0] == "devices";
  });
  const char* const rules = R"({"devices": [{"allow": false, "access": "rwm"}]})";
  EXPECT_EQ(Compile(rules, layout),
            "DevicePolicy=strict\nDeviceAllow=[]\nrest device program\n");
  EXPECT_EQ(Compile(rules, Hybrid()), "DevicePolicy=strict\nDeviceAllow=[]\n");
}

TEST(ParseUnitAnnotations, TakesListedPropertiesAndStripsOthers) {
  const auto parsed = ParseUnitAnnotations({
      {"org.systemd.property.CollectMode", "'inactive-or-failed'"},
      {"org.systemd.property.TimeoutStopSec", "uint64 10"},
      {"org.systemd.property.KillSignal", "15"},
      {"org.systemd.property.SendSIGHUP", "true"},
      {"org.systemd.property.ExecStopPost", "[('/bin/sh', ['sh'], false)]"},
      {"org.systemd.property.MemoryMax", "uint64 18446744073709551615"},
      {"org.systemd.property.", "1"},
      {"com.example.other", "x"},
  });
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  std::string out;
  for (const UnitProperty& property : parsed->properties) {
    absl::StrAppend(&out, DescribeUnitProperty(property), "\n");
  }
  EXPECT_EQ(out,
            "CollectMode=inactive-or-failed\nKillSignal=15\nSendSIGHUP=yes\n"
            "TimeoutStopUSec=10000000\n");
  EXPECT_EQ(parsed->stripped,
            (std::vector<std::string>{"org.systemd.property.", "org.systemd.property.ExecStopPost",
                                      "org.systemd.property.MemoryMax"}));
}

TEST(ParseUnitAnnotations, RefusesAListedPropertyOfTheWrongType) {
  for (const auto& [name, value] :
       std::map<std::string, std::string>{{"CollectMode", "inactive"},
                                          {"TimeoutStopSec", "'10'"},
                                          {"KillSignal", "65"},
                                          {"DefaultDependencies", "yes"},
                                          {"Description", "'a\nb'"}}) {
    const auto parsed = ParseUnitAnnotations({{"org.systemd.property." + name, value}});
    ASSERT_FALSE(parsed.ok()) << name;
    EXPECT_EQ(GetReason(parsed.status()), "ANNOTATION_INVALID");
  }
}

}  // namespace
}  // namespace ocid
