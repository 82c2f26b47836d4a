#include "daemon/nri/adjustment_apply.h"

#include <nlohmann/json.hpp>

#include "daemon/nri/nri_testing.h"
#include "gtest/gtest.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

struct Result {
  Json spec;
  std::vector<NriIgnoredEdit> ignored;
  absl::Status status;
};

Result Apply(const char* spec, const char* adjustment, const AdjustmentHost& host = {}) {
  Result result{.spec = Json::parse(spec), .ignored = {}, .status = {}};
  result.status = ApplyAdjustment(Adjustment(adjustment), host, result.spec, result.ignored);
  return result;
}

// Before, adjustment, after.
struct ApplyCase {
  const char* name;
  const char* before;
  const char* adjustment;
  const char* after;
};

class ApplyAdjustmentTest : public ::testing::TestWithParam<ApplyCase> {};

TEST_P(ApplyAdjustmentTest, ChangesTheSpec) {
  const Result result = Apply(GetParam().before, GetParam().adjustment);
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.spec, Json::parse(GetParam().after));
  EXPECT_TRUE(result.ignored.empty()) << result.ignored[0].reason;
}

INSTANTIATE_TEST_SUITE_P(
    All, ApplyAdjustmentTest,
    ::testing::Values(
        ApplyCase{"Annotations", R"({"annotations":{"a":"1","b":"2"}})",
                  R"({"annotations":{"-a":"","-b":"","b":"3","c":"4"}})",
                  R"({"annotations":{"b":"3","c":"4"}})"},
        // Replaced in place, removals forwarded, and "bare" stays although it has no value.
        ApplyCase{"Env", R"({"process":{"env":["A=1","bare","B=2","C=3"]}})",
                  R"({"env":[{"key":"A","value":"9"},{"key":"-B"},{"key":"D","value":"="}]})",
                  R"({"process":{"env":["A=9","bare","C=3","D=="]}})"},
        ApplyCase{"Args", R"({"process":{"args":["a"]}})", R"({"args":["","b","c"]})",
                  R"({"process":{"args":["b","c"]}})"},
        ApplyCase{
            "Hooks", R"({"hooks":{"prestart":[{"path":"/1"}]}})",
            R"({"hooks":{"prestart":[{"path":"/2","args":["2"],"env":["A=1"],"timeout":{"value":5}}],
                      "create_runtime":[{"path":"/3"}],"create_container":[{"path":"/4"}],
                      "start_container":[{"path":"/5"}],"poststart":[{"path":"/6"}],
                      "poststop":[{"path":"/7"}]}})",
            R"({"hooks":{"prestart":[{"path":"/1"},{"path":"/2","args":["2"],"env":["A=1"],"timeout":5}],
                      "createRuntime":[{"path":"/3"}],"createContainer":[{"path":"/4"}],
                      "startContainer":[{"path":"/5"}],"poststart":[{"path":"/6"}],
                      "poststop":[{"path":"/7"}]}})"},
        ApplyCase{"Devices",
                  R"({"linux":{"devices":[{"path":"/dev/a","type":"c","major":1,"minor":1},
                                          {"path":"/dev/b","type":"c","major":1,"minor":2}]}})",
                  R"({"linux":{"devices":[{"path":"-/dev/a"},
                      {"path":"/dev/b","type":"b","major":7,"minor":0,"file_mode":{"value":0},
                       "uid":{"value":0},"gid":{"value":6}},{"path":"/dev/p","type":"p"},
                      {"path":"/dev/c","type":"c","major":1,"minor":3,"file_mode":{"value":438}}]}})",
                  R"({"linux":{"devices":[
                        {"path":"/dev/b","type":"b","major":7,"minor":0,"fileMode":0,"uid":0,"gid":6},
                        {"path":"/dev/p","type":"p"},
                        {"path":"/dev/c","type":"c","major":1,"minor":3,"fileMode":438}],
                      "resources":{"devices":[
                        {"allow":true,"type":"b","major":7,"minor":0,"access":"rwm"},
                        {"allow":true,"type":"c","major":1,"minor":3,"access":"rw"}]}}})"},
        ApplyCase{"Process", R"({"linux":{"cgroupsPath":"/a"},"process":{"oomScoreAdj":3}})",
                  R"({"linux":{"cgroups_path":"/b","oom_score_adj":{"value":0},
                      "io_priority":{"class":"NRI_IOPRIO_CLASS_IDLE"},
                      "scheduler":{"policy":"NRI_SCHED_DEADLINE","flags":["NRI_SCHED_FLAG_RECLAIM"],
                                   "runtime":1,"deadline":2,"period":3}}})",
                  R"({"linux":{"cgroupsPath":"/b"},"process":{"oomScoreAdj":0,
                      "ioPriority":{"class":"IOPRIO_CLASS_IDLE","priority":0},
                      "scheduler":{"policy":"SCHED_DEADLINE","flags":["SCHED_FLAG_RECLAIM"],
                                   "runtime":1,"deadline":2,"period":3}}})"},
        ApplyCase{"NothingOfPrioritiesAndSchedulers",
                  R"({"process":{"ioPriority":{"class":"IOPRIO_CLASS_BE"},"scheduler":{}}})",
                  R"({"linux":{"io_priority":{},"scheduler":{}}})", R"({"process":{}})"},
        ApplyCase{"Seccomp", R"({"linux":{"seccomp":{"defaultAction":"x","flags":["y"]}}})",
                  R"({"linux":{"seccomp_policy":{"default_action":"SCMP_ACT_ERRNO",
                      "default_errno":{"value":38},"architectures":["SCMP_ARCH_X86_64"],
                      "flags":["SECCOMP_FILTER_FLAG_LOG"],"syscalls":[{"names":["read"],
                      "action":"SCMP_ACT_ERRNO","errno_ret":{"value":1},
                      "args":[{"index":1,"value":2,"value_two":3,"op":"SCMP_CMP_MASKED_EQ"}]}]}}})",
                  R"({"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,
                      "architectures":["SCMP_ARCH_X86_64"],"flags":["SECCOMP_FILTER_FLAG_LOG"],
                      "syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":1,
                      "args":[{"index":1,"value":2,"valueTwo":3,"op":"SCMP_CMP_MASKED_EQ"}]}]}}})"},
        ApplyCase{
            "Namespaces", R"({"linux":{"namespaces":[{"type":"pid"},{"type":"ipc"}]}})",
            R"({"linux":{"namespaces":[{"type":"-pid"},{"type":"ipc","path":"/ns"},{"type":"time"}]}})",
            R"({"linux":{"namespaces":[{"type":"ipc","path":"/ns"},{"type":"time"}]}})"},
        ApplyCase{"Sysctl", R"({"linux":{"sysctl":{"a":"1","b":"2"}}})",
                  R"({"linux":{"sysctl":{"-a":"","-b":"","b":"3","c":"4"}}})",
                  R"({"linux":{"sysctl":{"b":"3","c":"4"}}})"},
        ApplyCase{"MemoryPolicy", R"({"linux":{}})",
                  R"({"linux":{"memory_policy":{"mode":"NRI_MPOL_BIND","nodes":"0",
                      "flags":["NRI_MPOL_F_STATIC_NODES"]}}})",
                  R"({"linux":{"memoryPolicy":{"mode":"MPOL_BIND","nodes":"0",
                      "flags":["MPOL_F_STATIC_NODES"]}}})"},
        ApplyCase{
            "AllOfMemory",
            R"({"linux":{"resources":{"memory":{"limit":1,"checkBeforeUpdate":true}}}})",
            R"({"linux":{"resources":{"memory":{"limit":{"value":10},"reservation":{"value":5},
                      "swap":{"value":20},"kernel":{"value":3},"kernel_tcp":{"value":4},
                      "swappiness":{"value":0},"disable_oom_killer":{"value":true},
                      "use_hierarchy":{"value":true}}}}})",
            R"({"linux":{"resources":{"memory":{"limit":10,"reservation":5,"swap":20,"kernel":3,
                      "kernelTCP":4,"swappiness":0,"disableOOMKiller":true,"useHierarchy":true,
                      "checkBeforeUpdate":true}}}})"},
        ApplyCase{"SwapFollowsTheLimit", R"({"linux":{"resources":{"memory":{"swap":99}}}})",
                  R"({"linux":{"resources":{"memory":{"limit":{"value":10}}}}})",
                  R"({"linux":{"resources":{"memory":{"limit":10,"swap":10}}}})"},
        ApplyCase{
            "OtherResources",
            R"({"linux":{"resources":{"hugepageLimits":[{"pageSize":"2MB","limit":1}],
                      "blockIO":{"weight":5},"devices":[{"allow":false}]},"intelRdt":{}}})",
            R"({"linux":{"resources":{"cpu":{"shares":{"value":1},"quota":{"value":-1},
                      "period":{"value":2},"realtime_runtime":{"value":3},"realtime_period":{"value":4},
                      "cpus":"0","mems":"1"},"hugepage_limits":[{"page_size":"2MB","limit":2},
                      {"page_size":"1GB","limit":3}],"unified":{"a":"b"},"pids":{"limit":-1},
                      "devices":[{"allow":true,"type":"c","major":{"value":1},"access":"r"}],
                      "blockio_class":{},"rdt_class":{}}}})",
            R"({"linux":{"resources":{"cpu":{"shares":1,"quota":-1,"period":2,"realtimeRuntime":3,
                      "realtimePeriod":4,"cpus":"0","mems":"1"},"hugepageLimits":[
                      {"pageSize":"2MB","limit":2},{"pageSize":"1GB","limit":3}],"unified":{"a":"b"},
                      "pids":{"limit":-1},"devices":[{"allow":false},
                      {"allow":true,"type":"c","major":1,"access":"r"}]}}})"},
        ApplyCase{
            "NetDevices", R"({"linux":{"netDevices":{"eth1":{},"eth2":{}}}})",
            R"({"linux":{"net_devices":{"-eth1":{},"-eth2":{},"eth2":{"name":"eth0"},"eth3":{}}}})",
            R"({"linux":{"netDevices":{"eth2":{"name":"eth0"},"eth3":{}}}})"},
        ApplyCase{"Rdt", R"({"linux":{"intelRdt":{"closID":"x","memBwSchema":"y"}}})",
                  R"({"linux":{"rdt":{"clos_id":{"value":"z"},"schemata":{"value":["L3:0=f"]},
                      "enable_monitoring":{"value":true}}}})",
                  R"({"linux":{"intelRdt":{"closID":"z","memBwSchema":"y","schemata":["L3:0=f"],
                      "enableMonitoring":true}}})"},
        ApplyCase{"RdtRemoved", R"({"linux":{"intelRdt":{"closID":"x"}}})",
                  R"({"linux":{"rdt":{"remove":true}}})", R"({"linux":{}})"},
        // As writable-cgroups sends it: the addition before the removal of the same mount.
        ApplyCase{
            "Mounts",
            R"({"mounts":[{"destination":"/a/b"},{"destination":"/c"},{"destination":"/d"}]})",
            R"({"mounts":[{"destination":"/d","source":"s","type":"bind","options":["rw"]},
                      {"destination":"-/d"},{"destination":"-/c/"},{"destination":"/e","source":"t"}]})",
            R"({"mounts":[{"destination":"/d","source":"s","type":"bind","options":["rw"]},
                      {"destination":"/e","source":"t"},{"destination":"/a/b"}]})"},
        ApplyCase{"Propagation", R"({"linux":{"rootfsPropagation":"rprivate"},"mounts":[]})",
                  R"({"mounts":[{"destination":"/d","source":"s","options":["rbind","rslave"]}]})",
                  R"({"linux":{"rootfsPropagation":"rslave"},
                      "mounts":[{"destination":"/d","source":"s","options":["rbind","rslave"]}]})"},
        ApplyCase{"Rlimits", R"({"process":{"rlimits":[{"type":"RLIMIT_CPU","hard":1,"soft":1}]}})",
                  R"({"rlimits":[{"type":"RLIMIT_CPU","hard":3,"soft":2},
                      {"type":"RLIMIT_AS","hard":"18446744073709551615"}]})",
                  R"({"process":{"rlimits":[{"type":"RLIMIT_CPU","hard":3,"soft":2},
                      {"type":"RLIMIT_AS","hard":18446744073709551615,"soft":0}]}})"}),
    [](const auto& tested) { return tested.param.name; });

TEST(ApplyAdjustment, WhatCannotBeDoneIsToldWithTheReason) {
  const AdjustmentHost host{.no_intel_rdt = "no resctrl"};
  const Result result = Apply(R"({"linux":{}})", R"({
      "env":[{"key":"A=B"}],"annotations":{"":"x"},"hooks":{"poststop":[{"path":"/h","timeout":{}}]},
      "linux":{"rdt":{"clos_id":{"value":"x"}},
        "resources":{"memory":{"limit":{}},"blockio_class":{"value":"fast"},"rdt_class":{"value":"gold"}}}})",
                              host);
  ASSERT_TRUE(result.status.ok());
  std::vector<std::string> pointers;
  for (const NriIgnoredEdit& edit : result.ignored) {
    pointers.push_back(edit.pointer);
    EXPECT_FALSE(edit.reason.empty());
  }
  EXPECT_EQ(pointers,
            (std::vector<std::string>{"/annotations", "/process/env", "/hooks/poststop",
                                      "/linux/resources/memory/limit", "/linux/resources/blockIO",
                                      "/linux/intelRdt", "/linux/intelRdt/closID"}));
  EXPECT_FALSE(result.spec["linux"].contains("intelRdt"));
}

TEST(ApplyAdjustment, WhatTheHostCannotEnforceBecomesWhatItWas) {
  AdjustmentHost host;
  host.check_resources = [](const Json& resources) {
    absl::Status status =
        MakeError(absl::StatusCode::kFailedPrecondition, "CONTROLLER_MISSING", "x");
    for (const char* field : {"memory/swap", "cpu/shares", "pids/limit", "unified/a"}) {
      const Json::json_pointer pointer("/" + std::string(field));
      if (resources.contains(pointer) && resources.at(pointer) != 7) {
        AddFieldViolation(status, "/linux/resources/" + std::string(field), "no controller");
        if (std::string_view(field) != "unified/a") break;  // one thing at a time
      }
    }
    return status;
  };
  const Result result = Apply(R"({"linux":{"resources":{"cpu":{"shares":7},"unified":{"a":"1"}}}})",
                              R"({"linux":{"resources":{"memory":{"limit":{"value":10}},
                                  "cpu":{"shares":{"value":8}},"pids":{"limit":3}}}})",
                              host);
  ASSERT_TRUE(result.status.ok());
  EXPECT_EQ(result.spec["linux"]["resources"],
            Json::parse(R"({"cpu":{"shares":7},"memory":{"limit":10},"unified":{"a":"1"}})"));
  ASSERT_EQ(result.ignored.size(), 2u);
  EXPECT_EQ(result.ignored[0],
            (NriIgnoredEdit{"/linux/resources/cpu/shares", "8", "no controller"}));
  EXPECT_EQ(result.ignored[1].pointer, "/linux/resources/pids/limit");
}

TEST(ApplyAdjustment, AnUnknownNamespaceIsAnError) {
  EXPECT_EQ(Apply("{}", R"({"linux":{"namespaces":[{"type":"moon"}]}})").status.message(),
            "unknown namespace type \"moon\"");
}

TEST(ApplyAdjustment, APropagatingMountNeedsASourceThatPropagates) {
  AdjustmentHost host;
  std::string source = "private";
  host.propagation = [&](const std::string&) { return source; };
  constexpr char kSlave[] = R"({"mounts":[{"destination":"/d","options":["rslave"]}]})";
  constexpr char kShared[] = R"({"mounts":[{"destination":"/d","options":["rshared"]}]})";
  EXPECT_FALSE(Apply("{}", kSlave, host).status.ok());
  source = "slave";
  EXPECT_TRUE(Apply("{}", kSlave, host).status.ok());
  EXPECT_FALSE(Apply("{}", kShared, host).status.ok());
  source = "shared";
  const Result shared = Apply("{}", kShared, host);
  ASSERT_TRUE(shared.status.ok());
  EXPECT_EQ(shared.spec["linux"]["rootfsPropagation"], "rshared");
}

TEST(PropagationOf, TheMountThatThePathLiesInDecides) {
  constexpr char kMountInfo[] =
      "20 1 8:1 / / rw shared:1 - ext4 x rw\n"
      "21 20 8:1 / /a rw - ext4 x rw\n"
      "22 20 8:1 / /a/b rw master:3 - ext4 x rw\n";
  EXPECT_EQ(PropagationOf(kMountInfo, "/"), "shared");
  EXPECT_EQ(PropagationOf(kMountInfo, "/ab"), "shared");
  EXPECT_EQ(PropagationOf(kMountInfo, "/a/c"), "private");
  EXPECT_EQ(PropagationOf(kMountInfo, "/a/b/c"), "slave");
}

TEST(RestrictAdjustment, WhatThePolicyDoesNotNameIsTakenOutAndTold) {
  PluginPolicy policy;
  policy.fields.emplace({nri::Env, nri::MemLimit});
  nri::ContainerAdjustment adjustment =
      Adjustment(R"({"env":[{"key":"A"}],"mounts":[{"destination":"/d"}],
      "linux":{"resources":{"memory":{"limit":{"value":1},"swap":{"value":2}}},"rdt":{"remove":true}}})");
  const std::vector<NriIgnoredEdit> refused = RestrictAdjustment(policy, &adjustment);
  ASSERT_EQ(refused.size(), 3u);
  EXPECT_EQ(refused[0].pointer, "/linux/resources/memory/swap");
  EXPECT_EQ(refused[1].pointer, "/mounts");
  EXPECT_EQ(refused[1].reason, "the plugin's policy does not let it touch Mounts");
  EXPECT_NE(refused[1].requested_json.find("/d"), std::string::npos);
  EXPECT_EQ(refused[1].requested_json.find("env"), std::string::npos);
  EXPECT_EQ(adjustment.env_size(), 1);
  EXPECT_EQ(adjustment.mounts_size(), 0);
  EXPECT_EQ(adjustment.linux().resources().memory().limit().value(), 1);
  EXPECT_FALSE(adjustment.linux().resources().memory().has_swap());
  EXPECT_FALSE(adjustment.linux().rdt().remove());

  nri::ContainerAdjustment all = Adjustment(R"({"env":[{"key":"A"}]})");
  EXPECT_TRUE(RestrictAdjustment(PluginPolicy(), &all).empty());
}

}  // namespace
}  // namespace ocid
