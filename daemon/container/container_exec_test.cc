#include <thread>

#include "daemon/container/container_manager.h"
#include "daemon/container/exec_table.h"
#include "daemon/container/testing/manager_fixture.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

class ContainerExecTest : public ManagerFixture {
 protected:
  absl::StatusOr<v1::WaitExecResponse> WaitExec(const std::string& id,
                                                const std::string& exec_id) {
    v1::WaitExecRequest request;
    request.set_container_id(id);
    request.set_exec_id(exec_id);
    return Await<v1::WaitExecResponse>([&](Done<v1::WaitExecResponse> done) {
      manager_->WaitExec(request, nullptr, std::move(done));
    });
  }
  absl::Status DeleteExec(const std::string& id, const std::string& exec_id, bool force = false) {
    v1::DeleteExecRequest request;
    request.set_container_id(id);
    request.set_exec_id(exec_id);
    request.set_force(force);
    return Await<v1::DeleteExecResponse>([&](Done<v1::DeleteExecResponse> done) {
             manager_->DeleteExec(request, caller_, std::move(done));
           })
        .status();
  }
  absl::StatusOr<v1::Exec> GetExec(const std::string& id, const std::string& exec_id) {
    v1::GetExecRequest request;
    request.set_container_id(id);
    request.set_exec_id(exec_id);
    return manager_->GetExec(request);
  }
  absl::StatusOr<Attachment> Attach(const std::string& id, const std::string& exec_id,
                                    bool start) {
    v1::AttachRequest::Open request;
    request.set_container_id(id);
    request.set_exec_id(exec_id);
    request.set_start(start);
    return Await<Attachment>([&](Done<Attachment> done) {
      manager_->Attach(request, caller_, std::move(done));
    });
  }
};

TEST_F(ContainerExecTest, AnExecRunsAndItsExitIsKept) {
  CreateAndStart("c1");
  const auto exec = CreateExec("c1", "e1", /*start=*/true);
  ASSERT_TRUE(exec.ok()) << exec.status();
  EXPECT_EQ(exec->state(), v1::EXEC_STATE_RUNNING);
  EXPECT_GT(exec->pid(), 0);
  EXPECT_EQ(GetReason(DeleteExec("c1", "e1")), "INVALID_STATE");
  runtime_.ExitExec("c1", "e1", 7);
  EXPECT_EQ(WaitExec("c1", "e1")->exit_status().code(), 7);
  EXPECT_EQ(GetExec("c1", "e1")->state(), v1::EXEC_STATE_EXITED);
  EXPECT_TRUE(DeleteExec("c1", "e1").ok());
  EXPECT_EQ(GetReason(GetExec("c1", "e1").status()), "EXEC_NOT_FOUND");
}

TEST_F(ContainerExecTest, AnExecThatFailsToStartDoesNotExist) {
  CreateAndStart("c1");
  for (const std::string step : {"exec", "exec plan"}) {
    runtime_.FailAt(step);
    EXPECT_FALSE(CreateExec("c1", "e1", /*start=*/true).ok());
    EXPECT_EQ(GetReason(GetExec("c1", "e1").status()), "EXEC_NOT_FOUND");
  }
  runtime_.FailAt("");
  store_fails_at_ = FailingStore::Point::kExec;
  EXPECT_FALSE(CreateExec("c1", "e1", /*start=*/true).ok());
  store_fails_at_ = FailingStore::Point::kNone;
  EXPECT_TRUE(CreateExec("c1", "e1", /*start=*/true).ok());
}

TEST_F(ContainerExecTest, IdsAreMadeUpAndListedInOrder) {
  CreateAndStart("c1");
  const auto made_up = CreateExec("c1", "", /*start=*/false);
  ASSERT_TRUE(made_up.ok());
  EXPECT_EQ(made_up->id().substr(0, 5), "exec-");
  ASSERT_TRUE(CreateExec("c1", "b", false).ok());
  ASSERT_TRUE(CreateExec("c1", "a", false).ok());
  EXPECT_EQ(GetReason(CreateExec("c1", "a", false).status()), "EXEC_EXISTS");
  EXPECT_EQ(GetReason(CreateExec("c1", "../a", false).status()), "INVALID_EXEC_ID");
  v1::ListExecsRequest request;
  request.set_container_id("c1");
  request.set_page_size(2);
  auto page = manager_->ListExecs(request);
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->execs_size(), 2);
  EXPECT_EQ(page->execs(0).id(), "a");
  request.set_page_token(page->next_page_token());
  page = manager_->ListExecs(request);
  ASSERT_EQ(page->execs_size(), 1);
  EXPECT_EQ(page->execs(0).id(), made_up->id());
}

TEST_F(ContainerExecTest, ForceDeleteKillsARunningExec) {
  CreateAndStart("c1");
  ASSERT_TRUE(CreateExec("c1", "e1", true).ok());
  EXPECT_TRUE(DeleteExec("c1", "e1", /*force=*/true).ok());
  EXPECT_EQ(GetReason(GetExec("c1", "e1").status()), "EXEC_NOT_FOUND");
}

TEST_F(ContainerExecTest, AutoDeleteGoesAfterOneWait) {
  CreateAndStart("c1");
  ASSERT_TRUE(CreateExec("c1", "e1", true, /*auto_delete=*/true).ok());
  runtime_.ExitExec("c1", "e1", 2);
  EXPECT_EQ(WaitExec("c1", "e1")->exit_status().code(), 2);
  while (GetExec("c1", "e1").ok()) std::this_thread::yield();
}

TEST_F(ContainerExecTest, AttachStartsWhatIsCreated) {
  ASSERT_TRUE(Create("c1").ok());
  const auto to_init = Attach("c1", "", /*start=*/true);
  ASSERT_TRUE(to_init.ok()) << to_init.status();
  EXPECT_TRUE(to_init->stream.valid());
  EXPECT_EQ(StateOf("c1"), "RUNNING");
  ASSERT_TRUE(CreateExec("c1", "e1", /*start=*/false).ok());
  EXPECT_EQ(GetReason(Attach("c1", "e1", /*start=*/false).status()), "INVALID_STATE");
  const auto to_exec = Attach("c1", "e1", /*start=*/true);
  ASSERT_TRUE(to_exec.ok()) << to_exec.status();
  EXPECT_TRUE(to_exec->stream.valid());
  EXPECT_EQ(GetExec("c1", "e1")->state(), v1::EXEC_STATE_RUNNING);
  EXPECT_TRUE(Attach("c1", "e1", /*start=*/false).ok());
}

TEST_F(ContainerExecTest, EventsTellStartBeforeExitOnceEach) {
  CreateAndStart("c1");
  ASSERT_TRUE(CreateExec("c1", "e1", true).ok());
  runtime_.ExitExec("c1", "e1", 0);
  ASSERT_TRUE(WaitExec("c1", "e1").ok());
  std::vector<v1::Event::Type> types;
  for (const v1::Event& event : manager_->events().Read(1)->Next(1000)) {
    if (event.exec_id() == "e1") types.push_back(event.type());
  }
  EXPECT_EQ(types, (std::vector{v1::Event::EXEC_STARTED, v1::Event::EXEC_EXITED}));
}

TEST_F(ContainerExecTest, ExecsOutliveTheDaemon) {
  CreateAndStart("c1");
  ASSERT_TRUE(CreateExec("c1", "runs", true).ok());
  ASSERT_TRUE(CreateExec("c1", "ends", true).ok());
  ASSERT_TRUE(CreateExec("c1", "waits", false).ok());
  const int pid = GetExec("c1", "runs")->pid();
  runtime_.Disconnect();
  runtime_.ExitExec("c1", "ends", 9);
  Restart();
  EXPECT_EQ(GetExec("c1", "runs")->state(), v1::EXEC_STATE_RUNNING);
  EXPECT_EQ(GetExec("c1", "runs")->pid(), pid);
  EXPECT_EQ(GetExec("c1", "waits")->state(), v1::EXEC_STATE_CREATED);
  EXPECT_EQ(WaitExec("c1", "ends")->exit_status().code(), 9);
  runtime_.ExitExec("c1", "runs", 3);
  EXPECT_EQ(WaitExec("c1", "runs")->exit_status().code(), 3);
}

TEST_F(ContainerExecTest, OfExecsThatHaveEndedTheNewestAreKept) {
  CreateAndStart("c1");
  constexpr int kMore = 10;
  const int count = static_cast<int>(ExecTable::kMaxExited) + kMore;
  for (int i = 0; i < count; ++i) {
    const std::string exec_id = "e" + std::to_string(i);
    ASSERT_TRUE(CreateExec("c1", exec_id, /*start=*/true).ok());
    runtime_.ExitExec("c1", exec_id, 0);
    ASSERT_TRUE(WaitExec("c1", exec_id).ok());
  }
  while (GetExec("c1", "e" + std::to_string(kMore - 1)).ok()) std::this_thread::yield();
  for (int i = 0; i < kMore; ++i) EXPECT_FALSE(GetExec("c1", "e" + std::to_string(i)).ok());
  for (int i = kMore; i < count; ++i) EXPECT_TRUE(GetExec("c1", "e" + std::to_string(i)).ok());
}

TEST_F(ContainerExecTest, AContainerHasABoundedNumberOfThem) {
  CreateAndStart("c1");
  for (size_t i = 0; i < ExecTable::kMaxExecs; ++i) {
    ASSERT_TRUE(CreateExec("c1", "e" + std::to_string(i), /*start=*/false).ok());
  }
  EXPECT_EQ(GetReason(CreateExec("c1", "more", /*start=*/false).status()), "BUSY");
}

}  // namespace
}  // namespace ocid
