#include "daemon/container/container_manager.h"

#include <thread>

#include "daemon/container/testing/manager_fixture.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

class ContainerManagerTest : public ManagerFixture {};

TEST_F(ContainerManagerTest, ALifeFromCreateToDeleteLeavesNothingBehind) {
  const auto created = Create("c1");
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_EQ(created->state(), v1::CONTAINER_STATE_CREATED);
  EXPECT_GT(created->pid(), 0);
  EXPECT_EQ(created->generation(), 1u);
  EXPECT_EQ(created->owner(), "uid=0");
  EXPECT_FALSE(created->has_config());
  const auto started = Start("c1");
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(started->state(), v1::CONTAINER_STATE_RUNNING);
  EXPECT_NE(started->etag(), created->etag());
  runtime_.ExitInit("c1", 3);
  const auto waited = Wait("c1");
  ASSERT_TRUE(waited.ok()) << waited.status();
  EXPECT_EQ(waited->exit_status().code(), 3);
  EXPECT_TRUE(waited->exit_status().known());
  ASSERT_TRUE(Delete("c1").ok());
  EXPECT_EQ(StateOf("c1"), "none");
  EXPECT_EQ(StatesOf("c1"), "CREATING CREATED STARTING RUNNING STOPPED DELETING none");
  ExpectNothingLeft();
}

TEST_F(ContainerManagerTest, AFailureAtAnyStepOfCreateLeavesNothingAndFreesTheId) {
  for (const std::string step : {"generate", "cgroup", "plan", "spawn"}) {
    runtime_.FailAt(step);
    const auto created = Create("c1");
    EXPECT_EQ(created.status().message(), "injected: " + step);
    ExpectNothingLeft();
    runtime_.FailAt("");
    ASSERT_TRUE(Create("c1").ok()) << step;
    ASSERT_TRUE(Delete("c1").ok());
  }
  using Point = FailingStore::Point;
  for (const Point point : {Point::kDirectories, Point::kRecord, Point::kState}) {
    store_fails_at_ = point;
    EXPECT_EQ(GetReason(Create("c1").status()), "STORE_FULL");
    ExpectNothingLeft();
    store_fails_at_ = Point::kNone;
    ASSERT_TRUE(Create("c1").ok());
    ASSERT_TRUE(Delete("c1").ok());
  }
  ExpectNothingLeft();
}

TEST_F(ContainerManagerTest, ABadSpecChangesNothingAndIsNoEvent) {
  runtime_.FailAt("generate");
  EXPECT_FALSE(Create("c1").ok());
  EXPECT_EQ(manager_->events().last_sequence(), 0u);
}

TEST_F(ContainerManagerTest, RefusesIdsThatAreNoNames) {
  for (const std::string& id :
       {std::string(""), std::string("a/b"), std::string(".."), std::string("a\0b", 3),
        std::string(300, 'a')}) {
    EXPECT_EQ(GetReason(Create(id).status()), "INVALID_CONTAINER_ID");
    EXPECT_EQ(GetReason(Get(id).status()), "INVALID_CONTAINER_ID");
  }
}

TEST_F(ContainerManagerTest, IllegalMovesAreRefusedByState) {
  ASSERT_TRUE(Create("c1").ok());
  EXPECT_EQ(GetReason(Create("c1").status()), "CONTAINER_EXISTS");
  EXPECT_EQ(GetReason(CreateExec("c1", "e1", true).status()), "INVALID_STATE");
  ASSERT_TRUE(Start("c1").ok());
  EXPECT_EQ(GetReason(Start("c1").status()), "INVALID_STATE");
  EXPECT_EQ(GetReason(Delete("c1")), "INVALID_STATE");
  EXPECT_EQ(GetReason(Start("nobody").status()), "CONTAINER_NOT_FOUND");
  EXPECT_EQ(StateOf("c1"), "RUNNING");
}

TEST_F(ContainerManagerTest, ValidateOnlyChangesNothing) {
  v1::CreateContainerRequest request = CreateRequestOf("c1");
  request.set_validate_only(true);
  const auto validated = Create(request);
  ASSERT_TRUE(validated.ok()) << validated.status();
  EXPECT_EQ(validated->args(0), "/bin/true");
  EXPECT_EQ(StateOf("c1"), "none");
  EXPECT_EQ(manager_->events().last_sequence(), 0u);
  ExpectNothingLeft();
  runtime_.FailAt("plan");
  EXPECT_FALSE(Create(request).ok());
}

TEST_F(ContainerManagerTest, ARetriedCreateGetsTheFirstAnswerAlsoAfterARestart) {
  v1::CreateContainerRequest request = CreateRequestOf("c1");
  request.set_request_id("r1");
  const auto first = Create(request);
  ASSERT_TRUE(first.ok());
  const auto second = Create(request);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->SerializeAsString(), first->SerializeAsString());
  EXPECT_EQ(runtime_.generated(), 1);
  Restart();
  const auto third = Create(request);
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_EQ(third->pid(), first->pid());
  request.mutable_config()->add_args("other");
  EXPECT_EQ(GetReason(Create(request).status()), "REQUEST_ID_REUSED");
}

TEST_F(ContainerManagerTest, DriftIsAnEventForEachNewSetOfDifferences) {
  const auto look = [this] {
    v1::DetectDriftRequest request;
    request.set_container_id("c1");
    return Await<v1::DetectDriftResponse>([&](Done<v1::DetectDriftResponse> done) {
      manager_->DetectDrift(request, std::move(done));
    });
  };
  CreateAndStart("c1");
  const uint64_t before = manager_->events().last_sequence();
  ASSERT_TRUE(look().ok()) << look().status();
  EXPECT_EQ(manager_->events().last_sequence(), before);
  runtime_.SetDrift("other");
  EXPECT_EQ(look()->drifts_size(), 1);
  EXPECT_EQ(look()->drifts_size(), 1);
  EXPECT_EQ(manager_->events().last_sequence(), before + 1);
  runtime_.SetDrift("another");
  EXPECT_EQ(look()->drifts(0).observed(), "another");
  EXPECT_EQ(manager_->events().last_sequence(), before + 2);
  runtime_.ExitInit("c1", 0);
  ASSERT_TRUE(Wait("c1").ok());
  EXPECT_EQ(GetReason(look().status()), "INVALID_STATE");
}

TEST_F(ContainerManagerTest, AFailedStartSaysWhyAndStops) {
  ASSERT_TRUE(Create("c1").ok());
  runtime_.FailAt("start");
  EXPECT_EQ(GetReason(Start("c1").status()), "LAUNCH_FAILED");
  EXPECT_EQ(StateOf("c1"), "STOPPED");
  EXPECT_EQ(Wait("c1")->exit_status().code(), 126);
  EXPECT_EQ(StatesOf("c1"), "CREATING CREATED STARTING STOPPED");
  ASSERT_TRUE(Delete("c1").ok());
  ExpectNothingLeft();
}

TEST_F(ContainerManagerTest, AStoppedContainerStartsAgainAsANewGeneration) {
  CreateAndStart("c1");
  runtime_.ExitInit("c1", 1);
  ASSERT_TRUE(Wait("c1").ok());
  const auto again = Start("c1");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->generation(), 2u);
  EXPECT_FALSE(again->has_exit_status());
  EXPECT_EQ(runtime_.supervisors(), 1u);
  v1::InspectOciSpecRequest inspect;
  inspect.set_container_id("c1");
  for (const uint32_t generation : {0u, 1u, 2u, 3u}) {
    inspect.set_generation(generation);
    const auto history = Await<v1::OciSpecHistory>([&](Done<v1::OciSpecHistory> done) {
      manager_->InspectOciSpec(inspect, std::move(done));
    });
    if (generation == 3) {
      EXPECT_EQ(GetReason(history.status()), "GENERATION_NOT_FOUND");
    } else {
      ASSERT_TRUE(history.ok()) << history.status();
      EXPECT_EQ(history->generation(), generation == 0 ? 2 : generation);
      EXPECT_EQ(history->executor_sha256(), again->spec_sha256());
    }
  }
}

TEST_F(ContainerManagerTest, AnExitBySignalIs128PlusTheSignalAndOomIsTold) {
  CreateAndStart("c1");
  runtime_.OomKill("c1");
  const auto waited = Wait("c1");
  ASSERT_TRUE(waited.ok());
  EXPECT_EQ(waited->exit_status().code(), 137);
  EXPECT_EQ(waited->exit_status().signal(), 9);
  EXPECT_TRUE(waited->exit_status().oom_killed());
}

TEST_F(ContainerManagerTest, AWaitCanBeCancelledAndTheOthersGoOn) {
  CreateAndStart("c1");
  v1::WaitContainerRequest request;
  request.set_container_id("c1");
  auto cancellation = std::make_shared<Cancellation>();
  std::promise<absl::Status> cancelled;
  std::promise<absl::Status> answered;
  manager_->Wait(request, cancellation, [&](absl::StatusOr<v1::WaitContainerResponse> answer) {
    cancelled.set_value(answer.status());
  });
  manager_->Wait(request, nullptr, [&](absl::StatusOr<v1::WaitContainerResponse> answer) {
    answered.set_value(answer.status());
  });
  cancellation->Cancel();
  EXPECT_TRUE(absl::IsCancelled(cancelled.get_future().get()));
  runtime_.ExitInit("c1", 0);
  EXPECT_TRUE(answered.get_future().get().ok());
}

TEST_F(ContainerManagerTest, ALostSupervisorStopsTheContainerWithAnUnknownExit) {
  CreateAndStart("c1");
  runtime_.LoseSupervisor("c1");
  const auto waited = Wait("c1");
  ASSERT_TRUE(waited.ok());
  EXPECT_EQ(waited->exit_status().code(), 255);
  EXPECT_FALSE(waited->exit_status().known());
  ASSERT_TRUE(Delete("c1").ok());
  ExpectNothingLeft();
}

TEST_F(ContainerManagerTest, AutoDeleteRemovesTheContainerAfterItsWaitersAreTold) {
  v1::CreateContainerRequest request = CreateRequestOf("c1");
  request.mutable_config()->set_auto_delete(true);
  ASSERT_TRUE(Create(request).ok());
  ASSERT_TRUE(Start("c1").ok());
  std::promise<absl::StatusOr<v1::WaitContainerResponse>> told;
  v1::WaitContainerRequest wait;
  wait.set_container_id("c1");
  manager_->Wait(wait, nullptr, [&](absl::StatusOr<v1::WaitContainerResponse> answer) {
    told.set_value(std::move(answer));
  });
  runtime_.ExitInit("c1", 5);
  EXPECT_EQ(told.get_future().get()->exit_status().code(), 5);
  while (StateOf("c1") != "none") std::this_thread::yield();
  ASSERT_TRUE(manager_->Drain(absl::Seconds(10)));
  ExpectNothingLeft();
}

TEST_F(ContainerManagerTest, ForceDeleteKillsARunningContainer) {
  CreateAndStart("c1");
  ASSERT_TRUE(Delete("c1", /*force=*/true).ok());
  EXPECT_EQ(StatesOf("c1"), "CREATING CREATED STARTING RUNNING DELETING none");
  ExpectNothingLeft();
}

TEST_F(ContainerManagerTest, ForceDeleteOfWhatWillNotDieSaysSoAndCanBeTriedAgain) {
  CreateAndStart("c1");
  runtime_.SetObedience(false, false);
  std::promise<absl::Status> answered;
  v1::DeleteContainerRequest request;
  request.set_container_id("c1");
  request.set_force(true);
  manager_->Delete(request, caller_, [&](absl::StatusOr<v1::DeleteContainerResponse> answer) {
    answered.set_value(answer.status());
  });
  timers_->AwaitPending(1);
  timers_->Advance(absl::Seconds(11));
  const absl::Status status = answered.get_future().get();
  EXPECT_EQ(GetReason(status), "UNKILLABLE");
  EXPECT_FALSE(GetErrorMetadata(status)["pids"].empty());
  EXPECT_EQ(StateOf("c1"), "RUNNING");
  runtime_.SetObedience(true, true);
  ASSERT_TRUE(Delete("c1", /*force=*/true).ok());
  ExpectNothingLeft();
}

TEST_F(ContainerManagerTest, ListsInPagesByFilter) {
  for (const std::string id : {"a", "b", "c", "d", "e"}) {
    v1::CreateContainerRequest request = CreateRequestOf(id);
    (*request.mutable_config()->mutable_labels())["odd"] = id == "b" || id == "d" ? "" : "yes";
    ASSERT_TRUE(Create(request).ok());
  }
  ASSERT_TRUE(Start("c").ok());
  v1::ListContainersRequest request;
  request.set_page_size(2);
  request.set_filter("label.odd=yes");
  auto page = manager_->List(request);
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->containers_size(), 2);
  EXPECT_EQ(page->containers(1).id(), "c");
  request.set_page_token(page->next_page_token());
  page = manager_->List(request);
  ASSERT_EQ(page->containers_size(), 1);
  EXPECT_EQ(page->containers(0).id(), "e");
  EXPECT_EQ(page->next_page_token(), "");
  request.set_filter("state=running");
  EXPECT_EQ(GetReason(manager_->List(request).status()), "INVALID_PAGE_TOKEN");
  request.clear_page_token();
  EXPECT_EQ(manager_->List(request)->containers_size(), 1);
  EXPECT_EQ(manager_->GetInfo().containers_by_state.at("CREATED"), 4u);
}

TEST_F(ContainerManagerTest, UpdateChangesWhatTheMaskNamesAndIsRemembered) {
  CreateAndStart("c1");
  v1::UpdateContainerRequest request;
  request.set_container_id("c1");
  request.mutable_resources()->mutable_memory()->set_limit_bytes(1 << 20);
  request.mutable_resources()->mutable_pids()->set_limit(7);
  (*request.mutable_labels())["a"] = "1";
  request.mutable_update_mask()->add_paths("resources.memory.limit_bytes");
  const auto update = [&] {
    return Await<v1::Container>([&](Done<v1::Container> done) {
      manager_->Update(request, caller_, std::move(done));
    });
  };
  request.set_etag("old");
  EXPECT_EQ(GetReason(update().status()), "ETAG_MISMATCH");
  request.set_etag(Get("c1")->etag());
  const auto updated = update();
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_TRUE(updated->labels().empty());
  request.clear_etag();
  request.mutable_update_mask()->add_paths("labels");
  ASSERT_TRUE(update().ok());
  request.mutable_update_mask()->add_paths("owner");
  EXPECT_EQ(GetReason(update().status()), "INVALID_REQUEST");
  request.clear_update_mask();
  EXPECT_EQ(GetReason(update().status()), "INVALID_REQUEST");
  Restart();
  v1::GetContainerRequest get;
  get.set_container_id("c1");
  get.set_view(v1::CONTAINER_VIEW_FULL);
  const v1::Container full = *manager_->Get(get);
  EXPECT_EQ(full.config().resources().memory().limit_bytes(), 1 << 20);
  EXPECT_FALSE(full.config().resources().has_pids());
  EXPECT_EQ(full.labels().at("a"), "1");
}

TEST_F(ContainerManagerTest, PauseAndResume) {
  CreateAndStart("c1");
  v1::PauseContainerRequest pause;
  pause.set_container_id("c1");
  v1::ResumeContainerRequest resume;
  resume.set_container_id("c1");
  const auto paused = Await<v1::Container>(
      [&](Done<v1::Container> done) { manager_->Pause(pause, caller_, std::move(done)); });
  ASSERT_TRUE(paused.ok()) << paused.status();
  EXPECT_EQ(StateOf("c1"), "PAUSED");
  EXPECT_EQ(GetReason(CreateExec("c1", "e", true).status()), "INVALID_STATE");
  const auto resumed = Await<v1::Container>(
      [&](Done<v1::Container> done) { manager_->Resume(resume, caller_, std::move(done)); });
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(StateOf("c1"), "RUNNING");
}

TEST_F(ContainerManagerTest, ManyContainersAtOnceFromManyThreads) {
  constexpr int kThreads = 4;
  constexpr int kEach = 25;
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const std::string id = "c-" + std::to_string(t) + "-" + std::to_string(i);
        if (!Create(id).ok() || !Start(id).ok()) ++failures;
        runtime_.ExitInit(id, i);
        const auto waited = Wait(id);
        if (!waited.ok() || waited->exit_status().code() != i) ++failures;
        (void)manager_->List({});
        if (!Delete(id).ok()) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  ExpectNothingLeft();
  EXPECT_EQ(manager_->events().last_sequence(), uint64_t{kThreads * kEach * 7});
}

TEST_F(ContainerManagerTest, AfterDrainChangesAreRefusedAndReadsAreNot) {
  CreateAndStart("c1");
  EXPECT_TRUE(manager_->Drain(absl::Seconds(10)));
  EXPECT_EQ(GetReason(Create("c2").status()), "SHUTTING_DOWN");
  EXPECT_EQ(StateOf("c1"), "RUNNING");
}

}  // namespace
}  // namespace ocid
