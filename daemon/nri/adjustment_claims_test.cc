#include "daemon/nri/adjustment_claims.h"

#include "daemon/nri/nri_testing.h"
#include "gtest/gtest.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

// What each adjustment that can conflict is called in the conflict.
struct ConflictCase {
  const char* adjustment;
  const char* named;
};

class Conflicts : public ::testing::TestWithParam<ConflictCase> {};

TEST_P(Conflicts, TheSameTwiceNamesBothPluginsAndTheField) {
  AdjustmentClaims claims("c1");
  const nri::ContainerAdjustment adjustment = Adjustment(GetParam().adjustment);
  ASSERT_TRUE(claims.ClaimAdjustment("10-a", adjustment).ok());
  const absl::Status status = claims.ClaimAdjustment("20-b", adjustment);
  EXPECT_EQ(status.message(),
            std::string("plugins \"20-b\" and \"10-a\" both tried to set ") + GetParam().named);
  EXPECT_EQ(GetReason(status), "DEVICE_CONFLICT");
  EXPECT_EQ(GetErrorMetadata(status).at("actor"), "20-b");
  EXPECT_EQ(GetErrorMetadata(status).at("previous_actor"), "10-a");
}

INSTANTIATE_TEST_SUITE_P(
    All, Conflicts,
    ::testing::Values(
        ConflictCase{R"({"annotations":{"k":"v"}})", "Annotations k"},
        ConflictCase{R"({"mounts":[{"destination":"/d"}]})", "Mounts /d"},
        ConflictCase{R"({"env":[{"key":"K"}]})", "Env K"},
        ConflictCase{R"({"args":["x"]})", "Args"},
        ConflictCase{R"({"rlimits":[{"type":"RLIMIT_CPU"}]})", "Rlimits RLIMIT_CPU"},
        ConflictCase{R"({"cdi_devices":[{"name":"a/b=c"}]})", "CdiDevices a/b=c"},
        ConflictCase{R"({"linux":{"devices":[{"path":"/dev/x"}]}})", "Devices /dev/x"},
        ConflictCase{R"({"linux":{"cgroups_path":"/x"}})", "CgroupsPath"},
        ConflictCase{R"({"linux":{"oom_score_adj":{}}})", "OomScoreAdj"},
        ConflictCase{R"({"linux":{"io_priority":{}}})", "IoPriority"},
        ConflictCase{R"({"linux":{"seccomp_policy":{}}})", "SeccompPolicy"},
        ConflictCase{R"({"linux":{"namespaces":[{"type":"-pid"}]}})", "Namespace pid"},
        ConflictCase{R"({"linux":{"sysctl":{"a":"1"}}})", "Sysctl a"},
        ConflictCase{R"({"linux":{"net_devices":{"eth0":{}}}})", "LinuxNetDevices eth0"},
        ConflictCase{R"({"linux":{"scheduler":{}}})", "LinuxSched"},
        ConflictCase{R"({"linux":{"rdt":{"clos_id":{}}}})", "RdtClosID"},
        ConflictCase{R"({"linux":{"rdt":{"schemata":{}}}})", "RdtSchemata"},
        ConflictCase{R"({"linux":{"rdt":{"enable_monitoring":{}}}})", "RdtEnableMonitoring"},
        ConflictCase{R"({"linux":{"memory_policy":{}}})", "MemoryPolicy"},
        ConflictCase{R"({"linux":{"resources":{"memory":{"limit":{}}}}})", "MemLimit"},
        ConflictCase{R"({"linux":{"resources":{"memory":{"kernel_tcp":{}}}}})", "MemTCPLimit"},
        ConflictCase{R"({"linux":{"resources":{"cpu":{"cpus":"0"}}}})", "CPUSetCPUs"},
        ConflictCase{R"({"linux":{"resources":{"pids":{}}}})", "PidsLimit"},
        ConflictCase{R"({"linux":{"resources":{"hugepage_limits":[{"page_size":"2MB"}]}}})",
                     "HugepageLimits 2MB"},
        ConflictCase{R"({"linux":{"resources":{"unified":{"memory.high":"1"}}}})",
                     "CgroupsUnified memory.high"},
        ConflictCase{R"({"linux":{"resources":{"blockio_class":{}}}})", "BlockioClass"},
        ConflictCase{R"({"linux":{"resources":{"rdt_class":{}}}})", "RdtClass"}));

TEST(AdjustmentClaims, APluginIsInConflictWithItself) {
  AdjustmentClaims claims("c1");
  EXPECT_EQ(
      claims.ClaimAdjustment("10-a", Adjustment(R"({"env":[{"key":"K"},{"key":"K"}]})")).message(),
      "plugins \"10-a\" and \"10-a\" both tried to set Env K");
}

TEST(AdjustmentClaims, HooksOfSeveralPluginsAddUp) {
  AdjustmentClaims claims("c1");
  const auto hooks = Adjustment(R"({"hooks":{"poststop":[{"path":"/h"}]}})");
  ASSERT_TRUE(claims.ClaimAdjustment("10-a", hooks).ok());
  ASSERT_TRUE(claims.ClaimAdjustment("20-b", hooks).ok());
  EXPECT_EQ(claims.owners().owners().at("c1").simple().at(nri::OciHooks), "10-a,20-b");
  EXPECT_EQ(claims.combined().hooks().poststop_size(), 2);
}

TEST(AdjustmentClaims, WhoRemovesWhatAnotherSetMaySetItAndNobodyElse) {
  for (const char* set_and_replaced :
       {R"({"mounts":[{"destination":"/d","source":"new"},{"destination":"-/d"}]})",
        R"({"env":[{"key":"K","value":"new"},{"key":"-K"}]})",
        R"({"annotations":{"-k":"","k":"new"}})", R"({"args":["","new"]})",
        R"({"linux":{"devices":[{"path":"-/dev/x"},{"path":"/dev/x"}]}})",
        R"({"linux":{"sysctl":{"-a":"","a":"new"}}})",
        R"({"linux":{"net_devices":{"-eth0":{},"eth0":{}}}})",
        R"({"linux":{"rdt":{"remove":true,"clos_id":{"value":"new"}}}})"}) {
    AdjustmentClaims claims("c1");
    ASSERT_TRUE(claims
                    .ClaimAdjustment("10-a", Adjustment(R"({
        "mounts":[{"destination":"/d"}],"env":[{"key":"K"}],"annotations":{"k":""},"args":["x"],
        "linux":{"devices":[{"path":"/dev/x"}],"sysctl":{"a":""},"net_devices":{"eth0":{}},
                 "rdt":{"clos_id":{}}}})"))
                    .ok());
    EXPECT_TRUE(claims.ClaimAdjustment("20-b", Adjustment(set_and_replaced)).ok());
    const absl::Status third = claims.ClaimAdjustment("30-c", Adjustment(set_and_replaced));
    EXPECT_TRUE(third.ok()) << third;  // it removes first, too
  }
  AdjustmentClaims claims("c1");
  ASSERT_TRUE(claims.ClaimAdjustment("10-a", Adjustment(R"({"env":[{"key":"K"}]})")).ok());
  ASSERT_TRUE(claims.ClaimAdjustment("20-b", Adjustment(R"({"env":[{"key":"-K"}]})")).ok());
  EXPECT_EQ(claims.ClaimAdjustment("30-c", Adjustment(R"({"env":[{"key":"K"}]})")).message(),
            "plugins \"30-c\" and \"20-b\" both tried to set Env K");
}

TEST(AdjustmentClaims, TheCombinedAdjustmentHasTheLastWordOfEach) {
  AdjustmentClaims claims("c1");
  ASSERT_TRUE(claims
                  .ClaimAdjustment("10-a", Adjustment(R"({
      "mounts":[{"destination":"/a"},{"destination":"/b"}],"env":[{"key":"K","value":"1"}],
      "linux":{"resources":{"memory":{"limit":{"value":"5"}}}}})"))
                  .ok());
  ASSERT_TRUE(claims
                  .ClaimAdjustment("20-b", Adjustment(R"({
      "mounts":[{"destination":"-/a"},{"destination":"-/c"}],
      "env":[{"key":"-K"},{"key":"K","value":"2"}],
      "linux":{"resources":{"memory":{"swap":{"value":"0"}}}}})"))
                  .ok());
  const nri::ContainerAdjustment& combined = claims.combined();
  ASSERT_EQ(combined.mounts_size(), 3);
  EXPECT_EQ(combined.mounts(0).destination(), "/b");
  EXPECT_EQ(combined.mounts(1).destination(), "-/a");
  EXPECT_EQ(combined.mounts(2).destination(), "-/c");
  ASSERT_EQ(combined.env_size(), 1);
  EXPECT_EQ(combined.env(0).value(), "2");
  EXPECT_EQ(combined.linux().resources().memory().limit().value(), 5);
  EXPECT_TRUE(combined.linux().resources().memory().has_swap());
  EXPECT_EQ(claims.Owner(nri::Mounts, "/b"), "10-a");
  EXPECT_EQ(claims.Owner(nri::Mounts, "/a"), "");
}

AdjustmentClaims::Updates Updates(const char* text) {
  return FromJson<nri::CreateContainerResponse>(text).update();
}

TEST(AdjustmentClaims, UpdatesOfOthersAreMergedByContainer) {
  AdjustmentClaims claims("c1");
  ASSERT_TRUE(claims
                  .ClaimUpdates("10-a", Updates(R"({"update":[
      {"container_id":"c2","ignore_failure":true,"linux":{"resources":{"cpu":{"shares":{"value":2}}}}},
      {"container_id":"c3","linux":{"resources":{"pids":{"limit":4}}}}]})"))
                  .ok());
  ASSERT_TRUE(claims
                  .ClaimUpdates("20-b", Updates(R"({"update":[
      {"container_id":"c2","linux":{"resources":{"memory":{"limit":{"value":9}}}}}]})"))
                  .ok());
  const std::vector<nri::ContainerUpdate> updates = claims.updates();
  ASSERT_EQ(updates.size(), 2u);
  EXPECT_EQ(updates[0].container_id(), "c2");
  EXPECT_FALSE(updates[0].ignore_failure());
  EXPECT_EQ(updates[0].linux().resources().cpu().shares().value(), 2);
  EXPECT_EQ(updates[0].linux().resources().memory().limit().value(), 9);
  EXPECT_EQ(updates[1].linux().resources().pids().limit(), 4);
}

TEST(AdjustmentClaims, AConflictingUpdateFailsUnlessItsFailureIsToBeIgnored) {
  AdjustmentClaims claims("c1");
  ASSERT_TRUE(claims
                  .ClaimUpdates("10-a", Updates(R"({"update":[
      {"container_id":"c2","linux":{"resources":{"cpu":{"shares":{"value":2}}}}}]})"))
                  .ok());
  const absl::Status status = claims.ClaimUpdates("20-b", Updates(R"({"update":[
      {"container_id":"c2","linux":{"resources":{"cpu":{"shares":{"value":3}}}}}]})"));
  EXPECT_EQ(status.message(), "plugins \"20-b\" and \"10-a\" both tried to set CPUShares");
  ASSERT_TRUE(
      claims
          .ClaimUpdates("20-b", Updates(R"({"update":[{"container_id":"c2","ignore_failure":true,
      "linux":{"resources":{"cpu":{"shares":{"value":3},"quota":{"value":1}}}}}]})"))
          .ok());
  EXPECT_EQ(claims.updates()[0].linux().resources().cpu().shares().value(), 2);
  EXPECT_FALSE(claims.updates()[0].linux().resources().cpu().has_quota());
}

TEST(AdjustmentClaims, TheContainerThatIsCreatedCannotBeUpdated) {
  AdjustmentClaims claims("c1");
  const auto update = Updates(R"({"update":[{"container_id":"c1","linux":{"resources":{}}}]})");
  EXPECT_EQ(claims.ClaimUpdates("10-a", update).message(),
            "plugin \"10-a\" asked update of \"c1\" during creation");
  AdjustmentClaims other("c1", AdjustmentClaims::Operation::kOther);
  EXPECT_TRUE(other.ClaimUpdates("10-a", update).ok());
}

}  // namespace
}  // namespace ocid
