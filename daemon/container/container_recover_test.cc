// What a daemon finds that starts after another was killed, or after the host was.

#include <fstream>
#include <thread>

#include "daemon/container/container_manager.h"
#include "daemon/container/testing/manager_fixture.h"
#include "runtime/base/error_details.h"
#include "runtime/supervisor/exit_record.h"

namespace ocid {
namespace {

namespace fs = std::filesystem;

class ContainerRecoverTest : public ManagerFixture {};

TEST_F(ContainerRecoverTest, ARunningContainerIsTakenOverAsItIs) {
  CreateAndStart("c1");
  const v1::Container before = *Get("c1");
  Restart();
  EXPECT_EQ(report_.reattached, 1u);
  const v1::Container after = *Get("c1");
  EXPECT_EQ(after.state(), v1::CONTAINER_STATE_RUNNING);
  EXPECT_EQ(after.pid(), before.pid());
  EXPECT_EQ(after.spec_sha256(), before.spec_sha256());
  EXPECT_EQ(after.args(0), "/bin/true");
  EXPECT_EQ(after.create_time().nanos(), before.create_time().nanos());
  EXPECT_EQ(after.start_time().seconds(), before.start_time().seconds());
  EXPECT_EQ(StatesOf("c1"), "CREATING CREATED STARTING RUNNING");
  runtime_.ExitInit("c1", 6);
  EXPECT_EQ(Wait("c1")->exit_status().code(), 6);
  ASSERT_TRUE(Delete("c1").ok());
  ExpectNothingLeft();
}

TEST_F(ContainerRecoverTest, AnExitWhileTheDaemonWasAwayIsToldWithItsCodeAsOneEvent) {
  CreateAndStart("c1");
  manager_.reset();
  runtime_.ExitInit("c1", 42);
  Open();
  EXPECT_EQ(StateOf("c1"), "STOPPED");
  EXPECT_EQ(Wait("c1")->exit_status().code(), 42);
  EXPECT_EQ(StatesOf("c1"), "CREATING CREATED STARTING RUNNING STOPPED");
  Restart();
  EXPECT_EQ(Wait("c1")->exit_status().code(), 42);
  EXPECT_EQ(StatesOf("c1"), "CREATING CREATED STARTING RUNNING STOPPED");
  ASSERT_TRUE(Delete("c1").ok());
  ExpectNothingLeft();
}

TEST_F(ContainerRecoverTest, ACreatedContainerCanBeStartedByTheNextDaemon) {
  ASSERT_TRUE(Create("c1").ok());
  Restart();
  EXPECT_EQ(StateOf("c1"), "CREATED");
  EXPECT_TRUE(Start("c1").ok());
}

TEST_F(ContainerRecoverTest, APausedContainerIsStillPaused) {
  CreateAndStart("c1");
  v1::PauseContainerRequest pause;
  pause.set_container_id("c1");
  ASSERT_TRUE(Await<v1::Container>([&](Done<v1::Container> done) {
                manager_->Pause(pause, caller_, std::move(done));
              }).ok());
  Restart();
  EXPECT_EQ(StateOf("c1"), "PAUSED");
}

TEST_F(ContainerRecoverTest, AStopThatWasUnderWayGoesOn) {
  CreateAndStart("c1");
  runtime_.SetObedience(/*to_term=*/false, /*to_kill=*/true);
  auto stopped = BeginStop("c1", absl::Seconds(10));
  timers_->AwaitPending(1);
  manager_.reset();
  EXPECT_EQ(GetReason(stopped.get().status()), "SHUTTING_DOWN");
  Open();
  EXPECT_EQ(StateOf("c1"), "STOPPING");
  timers_->AwaitPending(1);
  timers_->Advance(absl::Seconds(10));
  EXPECT_EQ(Wait("c1")->exit_status().code(), 137);
}

TEST_F(ContainerRecoverTest, ACreateThatWasNotAnsweredIsUndone) {
  ASSERT_TRUE(Create("c1").ok());
  manager_.reset();
  // As it was before the state CREATED was stored: the record durable, the supervisor up.
  {
    auto store = OpenFileRecordStore(
        {.root_dir = base_ + "/root", .state_dir = base_ + "/state", .boot_id = boot_id_});
    ASSERT_TRUE(store.ok());
    internal::RuntimeState state = *(*store)->GetState("c1");
    state.set_state(v1::CONTAINER_STATE_CREATING);
    ASSERT_TRUE((*store)->PutState("c1", state).ok());
  }
  Open();
  EXPECT_EQ(report_.rolled_back, 1u);
  EXPECT_EQ(StateOf("c1"), "none");
  ExpectNothingLeft();
  EXPECT_TRUE(Create("c1").ok());
}

TEST_F(ContainerRecoverTest, ADeleteThatHadBegunIsFinished) {
  CreateAndStart("c1");
  manager_.reset();
  {
    auto store = OpenFileRecordStore(
        {.root_dir = base_ + "/root", .state_dir = base_ + "/state", .boot_id = boot_id_});
    internal::RuntimeState state = *(*store)->GetState("c1");
    state.set_state(v1::CONTAINER_STATE_DELETING);
    ASSERT_TRUE((*store)->PutState("c1", state).ok());
  }
  Open();
  EXPECT_EQ(report_.deleted, 1u);
  ExpectNothingLeft();
}

TEST_F(ContainerRecoverTest, DebrisWithoutARecordIsRemoved) {
  manager_.reset();
  fs::create_directories(base_ + "/root/containers/half");
  std::ofstream(base_ + "/root/containers/half/record.tmp") << "half";
  fs::create_directories(base_ + "/state/containers/other/execs");
  Open();
  EXPECT_EQ(report_.rolled_back, 2u);
  ExpectNothingLeft();
}

TEST_F(ContainerRecoverTest, AfterARebootTheExitRecordTellsAndElseTheExitIsUnknown) {
  CreateAndStart("told");
  CreateAndStart("untold");
  manager_.reset();
  ExitRecord record;
  record.code = 5;
  record.time_unix_ns = 1'700'000'000'000'000'000;
  {
    auto store = OpenFileRecordStore(
        {.root_dir = base_ + "/root", .state_dir = base_ + "/state", .boot_id = boot_id_});
    const auto directories = (*store)->OpenDirectories("told");
    ASSERT_EQ(WriteExitRecord(directories->root.get(), record), 0);
  }
  runtime_.LoseSupervisor("told");
  runtime_.LoseSupervisor("untold");
  fs::remove_all(base_ + "/state/containers");  // a tmpfs, and another boot
  boot_id_ = "another";
  Open();
  EXPECT_EQ(report_.stopped, 2u);
  EXPECT_EQ(Wait("told")->exit_status().code(), 5);
  EXPECT_TRUE(Wait("told")->exit_status().known());
  EXPECT_EQ(Wait("untold")->exit_status().code(), 255);
  EXPECT_FALSE(Wait("untold")->exit_status().known());
  EXPECT_TRUE(Start("untold").ok());
}

TEST_F(ContainerRecoverTest, AnUnreadableRecordIsSetAsideAndTheRestLoads) {
  CreateAndStart("good");
  CreateAndStart("bad");
  manager_.reset();
  std::ofstream(base_ + "/root/containers/bad/record") << "garbage";
  Open();
  EXPECT_EQ(report_.quarantined, std::vector<std::string>{"bad"});
  EXPECT_EQ(report_.warnings.size(), 1u);
  EXPECT_EQ(StateOf("good"), "RUNNING");
  EXPECT_EQ(StateOf("bad"), "none");
  EXPECT_EQ(manager_->GetInfo().quarantined.size(), 1u);
  EXPECT_FALSE(fs::is_empty(base_ + "/root/quarantine"));
}

TEST_F(ContainerRecoverTest, EventNumbersGoOnOverARestart) {
  CreateAndStart("c1");
  const uint64_t last = manager_->events().last_sequence();
  Restart();
  runtime_.ExitInit("c1", 0);
  ASSERT_TRUE(Wait("c1").ok());
  const auto events = manager_->events().Read(last + 1)->Next(10);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].sequence(), last + 1);
  EXPECT_EQ(events[0].state(), v1::CONTAINER_STATE_STOPPED);
}

}  // namespace
}  // namespace ocid
