// Stops, restarts by policy, and what waits for a process's end.

#include <future>
#include <thread>

#include "daemon/container/container_manager.h"
#include "daemon/container/testing/manager_fixture.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

class ContainerStopTest : public ManagerFixture {
 protected:
  void CreateWithPolicy(const std::string& id, v1::RestartPolicy::Mode mode) {
    v1::CreateContainerRequest request = CreateRequestOf(id);
    request.mutable_config()->mutable_restart_policy()->set_mode(mode);
    ASSERT_TRUE(Create(request).ok());
    ASSERT_TRUE(Start(id).ok());
  }
  void AwaitState(const std::string& id, const std::string& state) {
    while (StateOf(id) != state) std::this_thread::yield();
  }
  uint32_t GenerationOf(const std::string& id) const { return Get(id)->generation(); }
};

TEST_F(ContainerStopTest, AnObedientContainerStopsAtTheSignal) {
  CreateAndStart("c1");
  const auto stopped = BeginStop("c1", absl::Seconds(10)).get();
  ASSERT_TRUE(stopped.ok()) << stopped.status();
  EXPECT_EQ(stopped->state(), v1::CONTAINER_STATE_STOPPED);
  EXPECT_EQ(stopped->exit_status().code(), 143);
  EXPECT_EQ(timers_->pending(), 0u);
  EXPECT_EQ(StatesOf("c1"), "CREATING CREATED STARTING RUNNING STOPPING STOPPED");
}

TEST_F(ContainerStopTest, AStartThatHangsHasTheGraceAndIsAborted) {
  ASSERT_TRUE(Create("c1").ok());
  runtime_.HangStarts();
  auto started = std::async(std::launch::async, [this] { return Start("c1"); });
  AwaitState("c1", "STARTING");
  auto stopped = BeginStop("c1", absl::Seconds(10));
  timers_->AwaitPending(1);
  timers_->Advance(absl::Seconds(9));
  EXPECT_EQ(StateOf("c1"), "STARTING");
  timers_->Advance(absl::Seconds(1));
  const auto answer = stopped.get();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->state(), v1::CONTAINER_STATE_STOPPED);
  EXPECT_FALSE(started.get().ok());
}

TEST_F(ContainerStopTest, AStubbornOneIsKilledWhenItsGraceIsOver) {
  CreateAndStart("c1");
  runtime_.SetObedience(/*to_term=*/false, /*to_kill=*/true);
  auto stopped = BeginStop("c1", absl::Seconds(10));
  timers_->AwaitPending(1);
  timers_->Advance(absl::Seconds(9));
  EXPECT_EQ(StateOf("c1"), "STOPPING");
  timers_->Advance(absl::Seconds(1));
  const auto answer = stopped.get();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->exit_status().code(), 137);
}

TEST_F(ContainerStopTest, GraceOfZeroKillsAtOnce) {
  CreateAndStart("c1");
  runtime_.SetObedience(/*to_term=*/false, /*to_kill=*/true);
  EXPECT_EQ(BeginStop("c1", absl::ZeroDuration()).get()->exit_status().code(), 137);
}

TEST_F(ContainerStopTest, AStopInItsGraceHoldsUpNobody) {
  CreateAndStart("c1");
  runtime_.SetObedience(/*to_term=*/false, /*to_kill=*/true);
  auto stopped = BeginStop("c1", absl::Hours(1));
  timers_->AwaitPending(1);
  v1::KillContainerRequest kill;
  kill.set_container_id("c1");
  kill.set_signal("KILL");
  EXPECT_TRUE(Await<v1::KillContainerResponse>([&](Done<v1::KillContainerResponse> done) {
                manager_->Kill(kill, caller_, std::move(done));
              }).ok());
  EXPECT_EQ(stopped.get()->exit_status().code(), 137);
}

TEST_F(ContainerStopTest, OfTwoStopsTheSoonerEndCounts) {
  CreateAndStart("c1");
  runtime_.SetObedience(/*to_term=*/false, /*to_kill=*/true);
  auto patient = BeginStop("c1", absl::Hours(1));
  timers_->AwaitPending(1);
  auto impatient = BeginStop("c1", absl::ZeroDuration());
  EXPECT_TRUE(impatient.get().ok());
  EXPECT_TRUE(patient.get().ok());
}

TEST_F(ContainerStopTest, WhatWillNotDieIsNamed) {
  CreateAndStart("c1");
  runtime_.SetObedience(false, false);
  auto stopped = BeginStop("c1", absl::Seconds(1));
  timers_->AwaitPending(1);
  timers_->Advance(absl::Seconds(1));
  timers_->AwaitPending(1);
  timers_->Advance(absl::Seconds(10));
  const absl::Status status = stopped.get().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(GetErrorMetadata(status)["pids"], std::to_string(Get("c1")->pid()));
  EXPECT_EQ(StateOf("c1"), "RUNNING");
}

TEST_F(ContainerStopTest, StopOfAStoppedContainerSucceeds) {
  CreateAndStart("c1");
  runtime_.ExitInit("c1", 4);
  ASSERT_TRUE(Wait("c1").ok());
  EXPECT_EQ(BeginStop("c1", absl::Seconds(1)).get()->exit_status().code(), 4);
}

TEST_F(ContainerStopTest, AFullLaneAnswersBusy) {
  manager_.reset();
  lane_capacity_ = 0;
  Open();
  ASSERT_TRUE(Create("c1").ok());
  // One after the other fits; what comes while one runs does not. Many at once: some are refused,
  // none is lost.
  constexpr int kCalls = 200;
  std::atomic<int> answers{0};
  std::atomic<int> wrong{0};
  v1::KillContainerRequest kill;
  kill.set_container_id("c1");
  kill.set_signal("USR1");
  for (int i = 0; i < kCalls; ++i) {
    manager_->Kill(kill, caller_, [&](absl::StatusOr<v1::KillContainerResponse> answer) {
      if (!answer.ok() && GetReason(answer.status()) != "BUSY") ++wrong;
      ++answers;
    });
  }
  ASSERT_TRUE(manager_->Drain(absl::Seconds(30)));
  EXPECT_EQ(answers, kCalls);
  EXPECT_EQ(wrong, 0);
}

TEST_F(ContainerStopTest, AFailingContainerIsRestartedWithGrowingDelays) {
  CreateWithPolicy("c1", v1::RestartPolicy::ON_FAILURE);
  for (uint32_t generation = 1; generation <= 3; ++generation) {
    runtime_.ExitInit("c1", 1);
    timers_->AwaitPending(1);
    EXPECT_EQ(StateOf("c1"), "STOPPED");
    timers_->Advance(absl::Milliseconds(100 * (1 << (generation - 1))) - absl::Nanoseconds(1));
    EXPECT_EQ(timers_->pending(), 1u);
    timers_->Advance(absl::Nanoseconds(1));
    AwaitState("c1", "RUNNING");
    EXPECT_EQ(GenerationOf("c1"), generation + 1);
  }
  runtime_.ExitInit("c1", 0);
  ASSERT_TRUE(Wait("c1").ok());
  EXPECT_EQ(timers_->pending(), 0u);
}

TEST_F(ContainerStopTest, AStoppedContainerIsNotRestarted) {
  CreateWithPolicy("c1", v1::RestartPolicy::ALWAYS);
  ASSERT_TRUE(BeginStop("c1", absl::Seconds(1)).get().ok());
  EXPECT_EQ(timers_->pending(), 0u);
  EXPECT_EQ(StateOf("c1"), "STOPPED");
}

TEST_F(ContainerStopTest, AStopBeforeTheRestartPreventsIt) {
  CreateWithPolicy("c1", v1::RestartPolicy::ALWAYS);
  runtime_.ExitInit("c1", 0);
  timers_->AwaitPending(1);
  ASSERT_TRUE(BeginStop("c1", absl::Seconds(1)).get().ok());
  EXPECT_EQ(timers_->pending(), 0u);
  ASSERT_TRUE(Delete("c1").ok());
  ExpectNothingLeft();
}

TEST_F(ContainerStopTest, UnlessStoppedIsRememberedOverAReboot) {
  CreateWithPolicy("stays", v1::RestartPolicy::UNLESS_STOPPED);
  CreateWithPolicy("returns", v1::RestartPolicy::UNLESS_STOPPED);
  ASSERT_TRUE(BeginStop("stays", absl::Seconds(1)).get().ok());
  runtime_.LoseSupervisor("returns");
  Reboot();
  timers_->AwaitPending(1);
  timers_->Advance(absl::Seconds(1));
  AwaitState("returns", "RUNNING");
  EXPECT_EQ(StateOf("stays"), "STOPPED");
}

}  // namespace
}  // namespace ocid
