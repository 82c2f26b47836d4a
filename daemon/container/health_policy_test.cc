#include "daemon/container/health_policy.h"

#include "gtest/gtest.h"

namespace ocid {
namespace {

constexpr HealthState kStarting = {};
constexpr HealthState kHealthy = {.status = v1::HEALTH_STATUS_HEALTHY};
constexpr HealthState kUnhealthy = {.status = v1::HEALTH_STATUS_UNHEALTHY, .failures = 3};

HealthRules Rules() {
  v1::HealthCheck check;
  check.mutable_start_period()->set_seconds(60);
  return RulesOf(check);
}

HealthState Fail(const HealthState& before, absl::Duration running_for = absl::Minutes(5)) {
  return NextHealth(before, Rules(), /*succeeded=*/false, running_for);
}

TEST(HealthPolicy, DefaultsAreThoseOfTheApi) {
  const HealthRules rules = RulesOf(v1::HealthCheck());
  EXPECT_EQ(rules.interval, absl::Seconds(30));
  EXPECT_EQ(rules.timeout, absl::Seconds(30));
  EXPECT_EQ(rules.start_period, absl::ZeroDuration());
  EXPECT_EQ(rules.retries, 3u);
}

TEST(HealthPolicy, TheFirstProbeDoesNotWaitForALongInterval) {
  EXPECT_EQ(FirstProbeDelay(Rules()), absl::Seconds(1));
  v1::HealthCheck often;
  often.mutable_interval()->set_nanos(20'000'000);
  EXPECT_EQ(FirstProbeDelay(RulesOf(often)), absl::Milliseconds(20));
}

TEST(HealthPolicy, OneSuccessIsHealthyFromWherever) {
  for (const HealthState& before : {kStarting, kHealthy, kUnhealthy, HealthState{.failures = 2}}) {
    EXPECT_EQ(NextHealth(before, Rules(), /*succeeded=*/true, absl::ZeroDuration()), kHealthy);
  }
}

TEST(HealthPolicy, ItTakesAsManyFailuresInARowAsRetriesSay) {
  HealthState state = Fail(Fail(kHealthy));
  EXPECT_EQ(state.status, v1::HEALTH_STATUS_HEALTHY);
  state = Fail(state);
  EXPECT_EQ(state, kUnhealthy);
  EXPECT_EQ(Fail(state).status, v1::HEALTH_STATUS_UNHEALTHY);
}

TEST(HealthPolicy, FailuresInTheStartPeriodDoNotCount) {
  HealthState state = kStarting;
  for (int i = 0; i < 10; ++i) state = Fail(state, absl::Seconds(59));
  EXPECT_EQ(state, kStarting);
  state = Fail(Fail(Fail(state, absl::Seconds(60)), absl::Seconds(61)), absl::Seconds(62));
  EXPECT_EQ(state, kUnhealthy);
}

TEST(HealthPolicy, TheStartPeriodEndsWithTheFirstSuccess) {
  EXPECT_EQ(Fail(kHealthy, absl::Seconds(2)).failures, 1u);
}

}  // namespace
}  // namespace ocid
