// ManagerFixture: a ContainerManager over a fake runtime, a real store in a temporary directory and
// time that the test moves. Restart() is a daemon's kill and start; Reboot() the host's.
#ifndef OCID_DAEMON_CONTAINER_TESTING_MANAGER_FIXTURE_H_
#define OCID_DAEMON_CONTAINER_TESTING_MANAGER_FIXTURE_H_

#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/manual_timers.h"
#include "daemon/container/lifecycle.h"
#include "daemon/container/manager_parts.h"
#include "daemon/container/testing/failing_store.h"
#include "daemon/container/testing/fake_runtime.h"
#include "daemon/store/file_record_store.h"
#include "gtest/gtest.h"

namespace ocid {

// Calls `function` with a Done and waits for the answer.
template <class T, class Function>
absl::StatusOr<T> Await(Function function) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<T>>>();
  std::future<absl::StatusOr<T>> future = promise->get_future();
  function([promise](absl::StatusOr<T> answer) { promise->set_value(std::move(answer)); });
  return future.get();
}

class ManagerFixture : public testing::Test {
 protected:
  ManagerFixture() {
    std::string pattern = testing::TempDir() + "/manager.XXXXXX";
    base_ = mkdtemp(pattern.data());
    Open();
  }
  ~ManagerFixture() override {
    manager_.reset();
    std::filesystem::remove_all(base_);
  }

  void Open() {
    ManagerParts parts;
    parts.options.compiler = runtime_.MakeCompiler();
    parts.options.supervisors = runtime_.MakeHost();
    parts.options.cgroups = runtime_.MakeCgroups();
    parts.options.lane_capacity = lane_capacity_;
    parts.options.plugins = plugins_;
    auto store = OpenFileRecordStore(
        {.root_dir = base_ + "/root", .state_dir = base_ + "/state", .boot_id = boot_id_});
    ASSERT_TRUE(store.ok()) << store.status();
    parts.store = std::make_unique<FailingStore>(*std::move(store), store_fails_at_);
    EventLogOptions events;
    events.directory = base_ + "/root/events";
    events.boot_id = boot_id_;
    auto log = EventLog::Open(events);
    ASSERT_TRUE(log.ok()) << log.status();
    parts.events = *std::move(log);
    // From now on: the fake's exits have the time of day.
    auto timers = std::make_unique<ManualTimers>(absl::Now());
    timers_ = timers.get();
    parts.timers = std::move(timers);
    manager_ = MakeContainerManager(std::move(parts));
    const auto report = manager_->Recover();
    ASSERT_TRUE(report.ok()) << report.status();
    report_ = *report;
  }

  void Restart() {
    manager_.reset();
    Open();
  }
  void Reboot() {
    boot_id_ += "'";
    Restart();
  }

  static v1::CreateContainerRequest CreateRequestOf(const std::string& id) {
    v1::CreateContainerRequest request;
    request.set_container_id(id);
    request.mutable_config()->set_bundle("/bundles/" + id);
    request.mutable_config()->add_args("/bin/true");
    return request;
  }

  absl::StatusOr<v1::Container> Create(const v1::CreateContainerRequest& request) {
    return Await<v1::Container>([&](Done<v1::Container> done) {
      manager_->Create(request, caller_, std::move(done));
    });
  }
  absl::StatusOr<v1::Container> Create(const std::string& id) {
    return Create(CreateRequestOf(id));
  }
  absl::StatusOr<v1::Container> Start(const std::string& id) {
    v1::StartContainerRequest request;
    request.set_container_id(id);
    return Await<v1::Container>([&](Done<v1::Container> done) {
      manager_->Start(request, caller_, std::move(done));
    });
  }
  void CreateAndStart(const std::string& id) {
    const auto created = Create(id);
    ASSERT_TRUE(created.ok()) << created.status();
    const auto started = Start(id);
    ASSERT_TRUE(started.ok()) << started.status();
  }
  std::future<absl::StatusOr<v1::Container>> BeginStop(const std::string& id,
                                                       absl::Duration grace) {
    v1::StopContainerRequest request;
    request.set_container_id(id);
    request.mutable_grace()->set_seconds(absl::ToInt64Seconds(grace));
    auto promise = std::make_shared<std::promise<absl::StatusOr<v1::Container>>>();
    manager_->Stop(request, caller_, [promise](absl::StatusOr<v1::Container> answer) {
      promise->set_value(std::move(answer));
    });
    return promise->get_future();
  }
  absl::Status Delete(const std::string& id, bool force = false) {
    v1::DeleteContainerRequest request;
    request.set_container_id(id);
    request.set_force(force);
    return Await<v1::DeleteContainerResponse>([&](Done<v1::DeleteContainerResponse> done) {
             manager_->Delete(request, caller_, std::move(done));
           })
        .status();
  }
  absl::StatusOr<v1::WaitContainerResponse> Wait(const std::string& id) {
    v1::WaitContainerRequest request;
    request.set_container_id(id);
    return Await<v1::WaitContainerResponse>([&](Done<v1::WaitContainerResponse> done) {
      manager_->Wait(request, nullptr, std::move(done));
    });
  }
  absl::StatusOr<v1::Exec> CreateExec(const std::string& id, const std::string& exec_id,
                                      bool start, bool auto_delete = false) {
    v1::CreateExecRequest request;
    request.set_container_id(id);
    request.set_exec_id(exec_id);
    request.set_start(start);
    request.mutable_config()->add_args("/bin/ls");
    request.mutable_config()->set_auto_delete(auto_delete);
    return Await<v1::Exec>([&](Done<v1::Exec> done) {
      manager_->CreateExec(request, caller_, std::move(done));
    });
  }
  absl::StatusOr<v1::Container> Get(const std::string& id) const {
    v1::GetContainerRequest request;
    request.set_container_id(id);
    return manager_->Get(request);
  }
  std::string StateOf(const std::string& id) const {
    const auto container = Get(id);
    return container.ok() ? std::string(ContainerStateName(container->state())) : "none";
  }
  // Every state the container went through, as the event log tells: "CREATING CREATED ...".
  std::string StatesOf(const std::string& id) {
    std::string states;
    const auto reader = manager_->events().Read(1);
    for (const v1::Event& event : reader->Next(100000)) {
      if (event.container_id() != id || event.type() != v1::Event::STATE_CHANGED) continue;
      if (!states.empty()) states += ' ';
      states += ContainerStateName(event.state());
    }
    return states;
  }
  // Nothing of any container is left: no supervisor, cgroup, file.
  void ExpectNothingLeft() {
    EXPECT_EQ(runtime_.supervisors(), 0u);
    EXPECT_EQ(runtime_.cgroups(), 0u);
    EXPECT_TRUE(std::filesystem::is_empty(base_ + "/root/containers"));
    EXPECT_TRUE(std::filesystem::is_empty(base_ + "/state/containers"));
  }

  FakeRuntime runtime_;
  std::atomic<FailingStore::Point> store_fails_at_{FailingStore::Point::kNone};
  std::string base_;
  std::string boot_id_ = "boot";
  size_t lane_capacity_ = 64;
  PluginContext* plugins_ = nullptr;  // from the next Restart on
  const Caller caller_{"uid=0"};
  ManualTimers* timers_ = nullptr;
  RecoveryReport report_;
  std::unique_ptr<ContainerManager> manager_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_TESTING_MANAGER_FIXTURE_H_
