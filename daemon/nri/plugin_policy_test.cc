#include "daemon/nri/plugin_policy.h"

#include "gtest/gtest.h"

namespace ocid {
namespace {

TEST(PluginPolicies, AnEntrySaysAllThereIsAboutAPlugin) {
  const absl::StatusOr<PluginPolicies> policies = PluginPolicies::Parse(
      {"10-devices,required,fail-closed,timeout=500ms,fields=devices+Mounts", "*,timeout=1s",
       "look,fields="});
  ASSERT_TRUE(policies.ok()) << policies.status();
  const PluginPolicy devices = policies->For("10", "devices");
  EXPECT_TRUE(devices.required);
  EXPECT_TRUE(devices.fail_closed);
  EXPECT_EQ(devices.timeout, absl::Milliseconds(500));
  EXPECT_EQ(devices.fields, (std::set<nri::Field>{nri::Devices, nri::Mounts}));
  EXPECT_EQ(policies->For("33", "look").fields, std::set<nri::Field>());
  EXPECT_EQ(policies->For("20", "devices").timeout, absl::Seconds(1));
  EXPECT_FALSE(policies->For("20", "devices").fields.has_value());
  EXPECT_EQ(policies->Required(), std::vector<std::string>{"10-devices"});
}

TEST(PluginPolicies, ThereIsADefault) {
  const PluginPolicy policy = PluginPolicies().For("10", "any");
  EXPECT_FALSE(policy.required);
  EXPECT_FALSE(policy.fail_closed);
  EXPECT_EQ(policy.timeout, absl::Seconds(2));
}

TEST(PluginPolicies, WhatIsWrongIsNamed) {
  for (const char* const entry :
       {"", ",required", "a,maybe", "a,timeout=soon", "a,timeout=-1s", "a,timeout=1h",
        "a,fields=Env+Nothing", "*,required"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(PluginPolicies::Parse({entry}).status())) << entry;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(PluginPolicies::Parse({"a", "a"}).status()));
}

}  // namespace
}  // namespace ocid
