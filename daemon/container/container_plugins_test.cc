// What plugins are told of containers, and what they may do to them while they are asked.

#include <algorithm>

#include "daemon/container/testing/manager_fixture.h"
#include "daemon/nri/fake_plugin.h"
#include "daemon/nri/nri_host.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

using Calls = std::vector<std::string>;

class ContainerPlugins : public ManagerFixture {
 protected:
  // Short: a socket's path has at most 107 bytes.
  ContainerPlugins() : folder_(mkdtemp(std::string("/tmp/ocid-plugins.XXXXXX").data())) {
    StartHost();
  }
  ~ContainerPlugins() override {
    host_->Stop();
    manager_.reset();
    std::filesystem::remove_all(folder_);
  }

  // A daemon's start: plugins of the one before are gone.
  void StartHost() {
    if (host_ != nullptr) host_->Stop();
    manager_.reset();
    NriHostOptions options;
    options.socket_path = folder_ + "/nri.sock";
    host_ = std::make_unique<NriHost>(std::move(options));
    plugins_ = &host_->context();
    Restart();
    const absl::Status started = host_->Start();
    ASSERT_TRUE(started.ok()) << started;
  }

  std::unique_ptr<FakePlugin> Connect(FakePlugin::Options options = {}) {
    auto plugin = std::make_unique<FakePlugin>(folder_ + "/nri.sock", std::move(options));
    const absl::Time end = absl::Now() + absl::Seconds(5);
    const size_t before = connected_++;
    while (host_->context().table.active().size() <= before && absl::Now() < end) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    return plugin;
  }

  // Without those of its own connection.
  static Calls EventsOf(const FakePlugin& plugin) {
    Calls calls = plugin.calls();
    calls.erase(calls.begin(), calls.begin() + std::min<size_t>(2, calls.size()));
    return calls;
  }

  static std::string Update(const std::string& id) {
    nri::UpdateContainersRequest request;
    nri::ContainerUpdate& update = *request.add_update();
    update.set_container_id(id);
    update.mutable_linux()->mutable_resources()->mutable_cpu()->mutable_shares()->set_value(512);
    return request.SerializeAsString();
  }

  const std::string folder_;
  size_t connected_ = 0;
  std::unique_ptr<NriHost> host_;
};

TEST_F(ContainerPlugins, AContainerThatEndsByItselfIsToldOfOnce) {
  const auto plugin = Connect();
  CreateAndStart("web");
  runtime_.ExitInit("web", 0);
  ASSERT_TRUE(Wait("web").ok());
  ASSERT_TRUE(Delete("web").ok());
  EXPECT_EQ(EventsOf(*plugin),
            (Calls{"RunPodSandbox web", "CreateContainer web", "PostCreateContainer web",
                   "StartContainer web", "PostStartContainer web", "StopContainer web",
                   "StopPodSandbox web", "RemoveContainer web", "RemovePodSandbox web"}));
}

TEST_F(ContainerPlugins, ACreateThatFailsLaterIsUndone) {
  const auto plugin = Connect();
  runtime_.FailAt("spawn");
  EXPECT_FALSE(Create("web").ok());
  EXPECT_EQ(EventsOf(*plugin),
            (Calls{"RunPodSandbox web", "CreateContainer web", "StopContainer web",
                   "StopPodSandbox web", "RemoveContainer web", "RemovePodSandbox web"}));
  EXPECT_EQ(host_->context().table.containers(), 0u);
  runtime_.FailAt("");
  EXPECT_TRUE(Create("web").ok());
}

TEST_F(ContainerPlugins, AStartThatFailsIsAStop) {
  const auto plugin = Connect();
  ASSERT_TRUE(Create("web").ok());
  runtime_.FailAt("start");
  EXPECT_FALSE(Start("web").ok());
  EXPECT_TRUE(plugin->WaitForCall("StopContainer web"));
}

TEST_F(ContainerPlugins, APluginThatRefusesAStartStopsIt) {
  const auto plugin = Connect({.handlers = {{"StartContainer", [](const auto&) {
                                 return FakePlugin::Error(2, "not now");
                               }}}});
  ASSERT_TRUE(Create("web").ok());
  const auto started = Start("web");
  EXPECT_EQ(GetReason(started.status()), "PLUGIN_FAILED");
  EXPECT_EQ(StateOf("web"), "STOPPED");
  EXPECT_TRUE(plugin->WaitForCall("StopContainer web"));
}

TEST_F(ContainerPlugins, APluginMayUpdateTheContainerThatItIsAskedAbout) {
  std::unique_ptr<FakePlugin> plugin;
  int code = -1;
  plugin = Connect({.handlers = {{"slow", {}},
                                 {"StartContainer", [&](const auto&) {
                                    code = plugin->Call("UpdateContainers", Update("web"))
                                               .status()
                                               .code();
                                    return ttrpc::Response();
                                  }}}});
  ASSERT_TRUE(Create("web").ok());
  const absl::Time begin = absl::Now();
  ASSERT_TRUE(Start("web").ok());
  EXPECT_LT(absl::Now() - begin, absl::Seconds(1));
  EXPECT_EQ(code, 0);
}

TEST_F(ContainerPlugins, ANewDaemonTellsItsPluginsWhatIsThere) {
  {
    const auto plugin = Connect();
    CreateAndStart("alive");
    CreateAndStart("ended");
    runtime_.ExitInit("ended", 0);
    ASSERT_TRUE(Wait("ended").ok());
    connected_ = 0;
  }
  StartHost();
  const auto plugin = Connect();
  EXPECT_EQ(plugin->synchronized().pods_size(), 2);
  ASSERT_EQ(plugin->synchronized().containers_size(), 1);
  const nri::SynchronizeRequest synchronized = plugin->synchronized();
  EXPECT_EQ(synchronized.containers(0).id(), "alive");
  EXPECT_EQ(synchronized.containers(0).state(), nri::CONTAINER_RUNNING);
  runtime_.ExitInit("alive", 0);
  ASSERT_TRUE(Wait("alive").ok());
  ASSERT_TRUE(Delete("alive").ok());
  ASSERT_TRUE(Delete("ended").ok());
  EXPECT_EQ(EventsOf(*plugin),
            (Calls{"StopContainer alive", "StopPodSandbox alive", "RemoveContainer alive",
                   "RemovePodSandbox alive", "StopPodSandbox ended", "RemoveContainer ended",
                   "RemovePodSandbox ended"}));
}

TEST_F(ContainerPlugins, ARestartIsMadeOfTheAnswersToTheCreate) {
  nri::CreateContainerResponse answer;
  (*answer.mutable_adjust()->mutable_annotations())["a"] = "b";
  const auto plugin = Connect(
      {.handlers = {{"CreateContainer", [&](const auto&) { return FakePlugin::Answer(answer); }}}});
  CreateAndStart("web");
  runtime_.ExitInit("web", 0);
  ASSERT_TRUE(Wait("web").ok());
  const auto again = Start("web");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(plugin->WaitForCall("PostStartContainer web"));
  const Calls events = EventsOf(*plugin);
  EXPECT_EQ(std::count(events.begin(), events.end(), "CreateContainer web"), 1);
  EXPECT_EQ(std::count(events.begin(), events.end(), "StartContainer web"), 2);
}

}  // namespace
}  // namespace ocid
