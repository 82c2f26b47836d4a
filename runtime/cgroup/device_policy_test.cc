#include "runtime/cgroup/device_policy.h"

#include <random>

#include "gtest/gtest.h"

namespace ocid {
namespace {

constexpr DeviceRule kDenyAll{.allow = false};

DeviceRule Rule(bool allow, char type, std::optional<uint32_t> major, std::optional<uint32_t> minor,
                uint32_t access = kDeviceAll) {
  return {allow, type, major, minor, access};
}

const DevicePolicy& TypicalPolicy() {
  static const DevicePolicy policy = {
      kDenyAll,
      Rule(true, 'c', std::nullopt, std::nullopt, kDeviceMknod),
      Rule(true, 'c', 1, 3),
      Rule(true, 'c', 136, std::nullopt),
      Rule(true, 'b', 8, 0, kDeviceRead),
  };
  return policy;
}

TEST(DescribeDeviceRule, WritesWhatTheDevicesControllerReads) {
  EXPECT_EQ(DescribeDeviceRule(kDenyAll), "a *:* rwm");
  EXPECT_EQ(DescribeDeviceRule(Rule(true, 'c', 136, std::nullopt, kDeviceRead)), "c 136:* r");
}

TEST(DecideDeviceAccess, TheLastMatchingRuleDecidesEachKindOfAccess) {
  const DevicePolicy& policy = TypicalPolicy();
  EXPECT_TRUE(DecideDeviceAccess(policy, 'c', 1, 3, kDeviceRead | kDeviceWrite));
  EXPECT_TRUE(DecideDeviceAccess(policy, 'c', 5, 5, kDeviceMknod));
  EXPECT_FALSE(DecideDeviceAccess(policy, 'c', 5, 5, kDeviceRead));
  EXPECT_TRUE(DecideDeviceAccess(policy, 'b', 8, 0, kDeviceRead));
  EXPECT_FALSE(DecideDeviceAccess(policy, 'b', 8, 0, kDeviceRead | kDeviceWrite));
}

TEST(DecideDeviceAccess, ADenyOfWritingAlsoStopsReadingAndWriting) {
  const DevicePolicy policy = {Rule(true, 'c', 1, 3), Rule(false, 'c', 1, 3, kDeviceWrite)};
  EXPECT_TRUE(DecideDeviceAccess(policy, 'c', 1, 3, kDeviceRead));
  EXPECT_FALSE(DecideDeviceAccess(policy, 'c', 1, 3, kDeviceRead | kDeviceWrite));
}

TEST(DecideDeviceAccess, WhatNoRuleDecidesIsDenied) {
  EXPECT_FALSE(DecideDeviceAccess({Rule(true, 'c', 1, 3)}, 'c', 1, 5, kDeviceRead));
}

TEST(ReduceToAllowList, KeepsATypicalPolicy) {
  const auto list = ReduceToAllowList(TypicalPolicy());
  ASSERT_TRUE(list.has_value());
  EXPECT_EQ(list->size(), 4u);
}

TEST(ReduceToAllowList, RefusesAHoleInAWildcard) {
  EXPECT_FALSE(ReduceToAllowList({Rule(true, 'c', 1, std::nullopt), Rule(false, 'c', 1, 3)}));
  EXPECT_FALSE(ReduceToAllowList({DeviceRule{.allow = true}, Rule(false, 'b', 8, 0)}));
  EXPECT_FALSE(ReduceToAllowList({Rule(true, 'c', std::nullopt, 3)}));
}

TEST(ReduceToAllowList, MergesAndTakesAway) {
  const auto list =
      ReduceToAllowList({Rule(true, 'c', 1, 3, kDeviceRead), Rule(true, 'c', 1, 3, kDeviceWrite),
                         Rule(true, 'b', 8, 0), Rule(false, 'b', 8, std::nullopt)});
  ASSERT_TRUE(list.has_value());
  EXPECT_EQ(*list, (std::vector<DeviceRule>{Rule(true, 'c', 1, 3, kDeviceRead | kDeviceWrite)}));
}

TEST(CompileDeviceProgram, AnEmptyPolicyDeniesAndAllowAllAllows) {
  EXPECT_FALSE(*EvaluateDeviceProgram(CompileDeviceProgram({}), 'c', 1, 3, kDeviceRead));
  EXPECT_TRUE(*EvaluateDeviceProgram(CompileDeviceProgram({DeviceRule{.allow = true}}), 'b', 8, 0,
                                     kDeviceAll));
}

TEST(CompileDeviceProgram, ComparesNumbersAbove2To31) {
  const auto program = CompileDeviceProgram({Rule(true, 'c', 0xfffffff0u, 0x80000000u)});
  EXPECT_TRUE(*EvaluateDeviceProgram(program, 'c', 0xfffffff0u, 0x80000000u, kDeviceRead));
  EXPECT_FALSE(*EvaluateDeviceProgram(program, 'c', 0xfffffff1u, 0x80000000u, kDeviceRead));
}

// Random policies over a small world of devices: the program, the allow list (where there is one)
// and the definition must agree on every request.
TEST(CompileDeviceProgram, AgreesWithTheDefinitionOnRandomPolicies) {
  std::mt19937 random(20231122);
  const auto draw = [&](uint32_t below) { return static_cast<uint32_t>(random() % below); };
  const auto number = [&]() -> std::optional<uint32_t> {
    const uint32_t value = draw(3);
    return value == 2 ? std::nullopt : std::optional<uint32_t>(value);
  };
  int reduced = 0;
  for (int round = 0; round < 2000; ++round) {
    DevicePolicy policy;
    for (uint32_t n = draw(6); n > 0; --n) {
      policy.push_back(Rule(draw(3) != 0, "acb"[draw(3)], number(), number(), 1 + draw(7)));
    }
    const auto program = CompileDeviceProgram(policy);
    const auto list = ReduceToAllowList(policy);
    reduced += list.has_value();
    for (uint32_t request = 0; request < 2 * 2 * 2 * 7; ++request) {
      const char type = request % 2 ? 'c' : 'b';
      const uint32_t major = request / 2 % 2, minor = request / 4 % 2, access = 1 + request / 8;
      const bool expected = DecideDeviceAccess(policy, type, major, minor, access);
      const auto got = EvaluateDeviceProgram(program, type, major, minor, access);
      ASSERT_TRUE(got.ok()) << got.status();
      ASSERT_EQ(*got, expected) << "round " << round;
      if (list) {
        ASSERT_EQ(DecideDeviceAccess(*list, type, major, minor, access), expected);
      }
    }
  }
  EXPECT_GT(reduced, 100);
}

TEST(EvaluateDeviceProgram, RefusesWhatTheCompilerNeverWrites) {
  bpf_insn call{};
  call.code = BPF_JMP | BPF_CALL;
  EXPECT_FALSE(EvaluateDeviceProgram({call}, 'c', 1, 3, kDeviceRead).ok());
  EXPECT_FALSE(EvaluateDeviceProgram({}, 'c', 1, 3, kDeviceRead).ok());
}

}  // namespace
}  // namespace ocid
