#include "runtime/cgroup/cgroup_settings.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

using nlohmann::json;

CgroupLayout Unified() {
  CgroupLayout layout;
  layout.unified_mount = "/sys/fs/cgroup";
  layout.unified_controllers = {"cpu", "cpuset", "io", "memory", "pids", "hugetlb", "rdma"};
  return layout;
}

// As the machines that build this project have it.
CgroupLayout Hybrid() {
  CgroupLayout layout;
  layout.unified_mount = "/sys/fs/cgroup/unified";
  layout.unified_controllers = {"hugetlb"};
  for (const char* controller :
       {"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids"}) {
    layout.v1.push_back({{controller}, "", absl::StrCat("/sys/fs/cgroup/", controller)});
  }
  return layout;
}

std::string Compile(const char* text, const CgroupLayout& layout) {
  const absl::StatusOr<Resources> resources = ParseResources(json::parse(text));
  if (!resources.ok()) return resources.status().ToString();
  const CgroupSettings compiled = CompileSettings(*resources, layout);
  std::string out;
  for (const CgroupSetting& setting : compiled.settings) {
    absl::StrAppend(&out, DescribeCgroupSetting(setting), "\n");
  }
  if (compiled.device_program) absl::StrAppend(&out, "device program\n");
  for (const UnenforcedLimit& limit : compiled.unenforced) {
    absl::StrAppend(&out, "unenforced ", limit.controller, " ", limit.pointer, "\n");
  }
  for (const std::string& note : compiled.notes) absl::StrAppend(&out, "note ", note, "\n");
  return out;
}

std::vector<std::string> Violations(const char* text) {
  const absl::StatusOr<Resources> resources = ParseResources(json::parse(text));
  std::vector<std::string> fields;
  for (const FieldViolation& violation : GetFieldViolations(resources.status())) {
    fields.push_back(violation.field);
  }
  return fields;
}

constexpr char kEverything[] = R"({
  "devices": [{"allow": false, "access": "rwm"},
              {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw"}],
  "memory": {"limit": 67108864, "swap": 100663296, "reservation": 33554432},
  "cpu": {"shares": 1024, "quota": 50000, "period": 100000, "burst": 1000, "idle": 0,
          "cpus": "0-1", "mems": "0"},
  "pids": {"limit": 64},
  "blockIO": {"weight": 500,
              "weightDevice": [{"major": 8, "minor": 0, "weight": 1000}],
              "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1048576}],
              "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}]},
  "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
  "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}}
})";

TEST(CompileSettings, WritesEverythingToCgroup2WhereItHasTheControllers) {
  EXPECT_EQ(Compile(kEverything, Unified()),
            "v2 memory.max = 67108864\n"
            "v2 memory.swap.max = 33554432\n"
            "v2 memory.low = 33554432\n"
            "v2 cpu.weight = 100\n"
            "v2 cpu.idle = 0\n"
            "v2 cpu.max = 50000 100000\n"
            "v2 cpu.max.burst = 1000\n"
            "v2 cpuset.cpus = 0-1\n"
            "v2 cpuset.mems = 0\n"
            "v2 pids.max = 64\n"
            "v2 io.bfq.weight = 500 or io.weight = default 4950\n"
            "v2 io.bfq.weight = 8:0 1000 or io.weight = 8:0 10000\n"
            "v2 io.max = 8:0 rbps=1048576\n"
            "v2 io.max = 8:16 wiops=max\n"
            "v2 hugetlb.2MB.max = 4194304\n"
            "v2 hugetlb.2MB.rsvd.max = 4194304\n"
            "v2 rdma.max = mlx5_1 hca_handle=3 hca_object=10000\n"
            "device program\n");
}

TEST(CompileSettings, OnAHybridHostEachLimitGoesWhereItsControllerIs) {
  EXPECT_EQ(Compile(kEverything, Hybrid()),
            "v1 devices.deny = a *:* rwm\n"
            "v1 devices.deny = a *:* rwm\n"
            "v1 devices.allow = c 1:3 rw\n"
            "v1 memory.limit_in_bytes = 67108864\n"
            "v1 memory.memsw.limit_in_bytes = 100663296\n"
            "v1 memory.soft_limit_in_bytes = 33554432\n"
            "v1 cpu.shares = 1024\n"
            "v1 cpu.idle = 0\n"
            "v1 cpu.cfs_period_us = 100000\n"
            "v1 cpu.cfs_quota_us = 50000\n"
            "v1 cpu.cfs_burst_us = 1000\n"
            "v1 cpuset.cpus = 0-1\n"
            "v1 cpuset.mems = 0\n"
            "v1 pids.max = 64\n"
            "v1 blkio.weight = 500 or blkio.bfq.weight = 500\n"
            "v1 blkio.weight_device = 8:0 1000 or blkio.bfq.weight_device = 8:0 1000\n"
            "v1 blkio.throttle.read_bps_device = 8:0 1048576\n"
            "v1 blkio.throttle.write_iops_device = 8:16 0\n"
            "v2 hugetlb.2MB.max = 4194304\n"
            "v2 hugetlb.2MB.rsvd.max = 4194304\n"
            "unenforced rdma /linux/resources/rdma/mlx5_1\n");
}

TEST(CompileSettings, NothingAskedIsNothingWritten) {
  EXPECT_EQ(Compile("{}", Unified()), "");
  EXPECT_EQ(Compile("null", Hybrid()), "");
  EXPECT_EQ(Compile(R"({"devices": [], "memory": {"disableOOMKiller": false}, "cpu": {},
                        "pids": {"limit": 0}})",
                    Hybrid()),
            "");
}

TEST(CompileSettings, MinusOneIsNoLimit) {
  constexpr char kText[] =
      R"({"memory": {"limit": -1}, "cpu": {"quota": -1}, "pids": {"limit": -1}})";
  EXPECT_EQ(Compile(kText, Unified()),
            "v2 memory.max = max\n"
            "v2 memory.swap.max = max\n"
            "v2 cpu.max = max\n"
            "v2 pids.max = max\n");
  EXPECT_EQ(Compile(kText, Hybrid()),
            "v1 memory.limit_in_bytes = -1\n"
            "v1 cpu.cfs_quota_us = -1\n"
            "v1 pids.max = max\n");
}

TEST(CompileSettings, WhatOnlyV1CanDoIsUnenforcedOnV2) {
  constexpr char kText[] = R"({
    "memory": {"swappiness": 10, "disableOOMKiller": true, "kernel": 1048576},
    "cpu": {"realtimeRuntime": 1000, "realtimePeriod": 100000},
    "blockIO": {"leafWeight": 100}, "network": {"classID": 7}})";
  EXPECT_EQ(Compile(kText, Unified()),
            "unenforced memory /linux/resources/memory/swappiness\n"
            "unenforced memory /linux/resources/memory/disableOOMKiller\n"
            "unenforced cpu /linux/resources/cpu/realtimePeriod\n"
            "unenforced cpu /linux/resources/cpu/realtimeRuntime\n"
            "unenforced io /linux/resources/blockIO/leafWeight\n"
            "unenforced net_cls /linux/resources/network/classID\n"
            "note /linux/resources/memory/kernel: deprecated, part of the memory limit here\n");
}

TEST(CompileSettings, UnifiedGoesToCgroup2AsItIsALineAWrite) {
  EXPECT_EQ(Compile(R"({"unified": {"memory.high": "4096", "io.max": "8:0 rbps=1\n8:16 wbps=2",
                                    "cgroup.max.depth": "3"}})",
                    Unified()),
            "v2 cgroup.max.depth = 3\n"
            "v2 io.max = 8:0 rbps=1\n"
            "v2 io.max = 8:16 wbps=2\n"
            "v2 memory.high = 4096\n");
}

TEST(CompileSettings, UnifiedWithoutTheControllerIsUnenforced) {
  EXPECT_EQ(Compile(R"({"unified": {"memory.high": "4096", "hugetlb.2MB.max": "0"}})", Hybrid()),
            "v2 hugetlb.2MB.max = 0\n"
            "unenforced memory /linux/resources/unified/memory.high\n");
}

TEST(ParseResources, NamesEveryViolationByItsPointer) {
  EXPECT_EQ(
      Violations(R"({
    "devices": [{"allow": 1, "type": "x", "access": "q"}],
    "memory": {"limit": -2, "swappiness": 101, "reservation": 1.5},
    "cpu": {"shares": 1, "quota": 5, "period": 99, "cpus": "3-1", "idle": 2},
    "pids": {"limit": "many"},
    "blockIO": {"weight": 9, "throttleReadBpsDevice": [{"major": 8, "rate": -1}]},
    "hugepageLimits": [{"pageSize": "../2MB", "limit": 1}],
    "unified": {"cgroup.kill": "1", "a/b.c": "1", "memory.max": 7}
  })"),
      (std::vector<std::string>{
          "/linux/resources/devices/0/allow", "/linux/resources/devices/0/type",
          "/linux/resources/devices/0/access", "/linux/resources/memory/limit",
          "/linux/resources/memory/reservation", "/linux/resources/memory/swappiness",
          "/linux/resources/cpu/shares", "/linux/resources/cpu/period", "/linux/resources/cpu/idle",
          "/linux/resources/cpu/cpus", "/linux/resources/cpu/quota", "/linux/resources/pids/limit",
          "/linux/resources/blockIO/weight", "/linux/resources/blockIO/throttleReadBpsDevice/0",
          "/linux/resources/blockIO/throttleReadBpsDevice/0/rate",
          "/linux/resources/hugepageLimits/0/pageSize", "/linux/resources/unified/a~1b.c",
          "/linux/resources/unified/cgroup.kill", "/linux/resources/unified/memory.max"}));
}

TEST(ParseResources, SwapNeedsALimitAndIncludesIt) {
  EXPECT_EQ(Violations(R"({"memory": {"swap": 4096}})"),
            std::vector<std::string>{"/linux/resources/memory/swap"});
  EXPECT_EQ(Violations(R"({"memory": {"limit": 8192, "swap": 4096}})"),
            std::vector<std::string>{"/linux/resources/memory/swap"});
  EXPECT_EQ(Violations(R"({"memory": {"limit": 8192, "swap": -1}})"), std::vector<std::string>{});
}

TEST(ParseResources, RefusesNumbersThatDoNotFit) {
  EXPECT_EQ(Violations(R"({"memory": {"limit": 9223372036854775808}})"),
            std::vector<std::string>{"/linux/resources/memory/limit"});
  EXPECT_EQ(Violations(R"({"devices": [{"allow": true, "type": "c", "major": 4294967296}]})"),
            std::vector<std::string>{"/linux/resources/devices/0/major"});
  EXPECT_EQ(Violations("[]"), std::vector<std::string>{"/linux/resources"});
}

TEST(CpuWeightFromShares, MapsMinimumDefaultAndMaximum) {
  EXPECT_EQ(CpuWeightFromShares(2), 1u);
  EXPECT_EQ(CpuWeightFromShares(1024), 100u);
  EXPECT_EQ(CpuWeightFromShares(262144), 10000u);
  uint64_t previous = 0;
  for (uint64_t shares = 2; shares <= 262144; shares *= 2) {
    EXPECT_GT(CpuWeightFromShares(shares), previous);
    previous = CpuWeightFromShares(shares);
  }
}

TEST(IoWeightFromBlkioWeight, MapsMinimumAndMaximum) {
  EXPECT_EQ(IoWeightFromBlkioWeight(10), 1u);
  EXPECT_EQ(IoWeightFromBlkioWeight(1000), 10000u);
}

}  // namespace
}  // namespace ocid
