#include "daemon/container/restart_policy.h"

#include "gtest/gtest.h"

namespace ocid {
namespace {

v1::RestartPolicy Policy(v1::RestartPolicy::Mode mode, uint32_t max_retries = 0) {
  v1::RestartPolicy policy;
  policy.set_mode(mode);
  policy.set_max_retries(max_retries);
  return policy;
}

TEST(RestartPolicy, NeverAndUnsetStayStopped) {
  EXPECT_FALSE(DecideRestart({}, {.exit_code = 1}).has_value());
  EXPECT_FALSE(DecideRestart(Policy(v1::RestartPolicy::NEVER), {.exit_code = 1}).has_value());
}

TEST(RestartPolicy, OnFailureLooksAtTheExitCode) {
  const v1::RestartPolicy policy = Policy(v1::RestartPolicy::ON_FAILURE);
  EXPECT_FALSE(DecideRestart(policy, {.exit_code = 0}).has_value());
  EXPECT_TRUE(DecideRestart(policy, {.exit_code = 1}).has_value());
}

TEST(RestartPolicy, OnFailureGivesUpAfterItsRetries) {
  const v1::RestartPolicy policy = Policy(v1::RestartPolicy::ON_FAILURE, 3);
  EXPECT_TRUE(DecideRestart(policy, {.exit_code = 1, .restarts_in_a_row = 2}).has_value());
  EXPECT_FALSE(DecideRestart(policy, {.exit_code = 1, .restarts_in_a_row = 3}).has_value());
  EXPECT_TRUE(DecideRestart(policy, {.exit_code = 1, .run_time = kStableRun, .restarts_in_a_row = 3})
                  .has_value());
}

TEST(RestartPolicy, AlwaysRestartsASuccessToo) {
  EXPECT_TRUE(DecideRestart(Policy(v1::RestartPolicy::ALWAYS), {.exit_code = 0}).has_value());
}

TEST(RestartPolicy, WhatWasStoppedByRequestStaysStopped) {
  for (const auto mode : {v1::RestartPolicy::ON_FAILURE, v1::RestartPolicy::ALWAYS,
                          v1::RestartPolicy::UNLESS_STOPPED}) {
    EXPECT_FALSE(DecideRestart(Policy(mode), {.exit_code = 137, .by_request = true}).has_value());
  }
}

TEST(RestartPolicy, DelaysDoubleUpToAMinuteAndBeginAnewAfterAStableRun) {
  const v1::RestartPolicy policy = Policy(v1::RestartPolicy::ALWAYS);
  EXPECT_EQ(DecideRestart(policy, {})->delay, absl::Milliseconds(100));
  EXPECT_EQ(DecideRestart(policy, {.restarts_in_a_row = 1})->delay, absl::Milliseconds(200));
  EXPECT_EQ(DecideRestart(policy, {.restarts_in_a_row = 5})->delay, absl::Milliseconds(3200));
  EXPECT_EQ(DecideRestart(policy, {.restarts_in_a_row = 4'000'000'000})->delay, absl::Minutes(1));
  EXPECT_EQ(DecideRestart(policy, {.run_time = kStableRun, .restarts_in_a_row = 9})->delay,
            absl::Milliseconds(100));
}

}  // namespace
}  // namespace ocid
