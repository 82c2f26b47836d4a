// The host with plugins that behave, and that do not.

#include "daemon/nri/nri_host.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/nri/fake_plugin.h"
#include "daemon/nri/plugin_pod.h"
#include "gtest/gtest.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

using Calls = std::vector<std::string>;

class FakeTargets final : public PluginTargets {
 public:
  void UpdateFromPlugin(const std::string& container_id, const nri::LinuxResources&,
                        const std::string& plugin,
                        std::function<void(absl::Status)> done) override {
    {
      MutexLock lock(mutex_);
      updates_.push_back(absl::StrCat(plugin, " ", container_id));
    }
    if (container_id == "gone") return done(absl::NotFoundError("no such container"));
    if (container_id == "bad") return done(absl::InternalError("cgroup"));
    done(absl::OkStatus());
  }
  void EvictForPlugin(const std::string& container_id, const std::string&,
                      const std::string&) override {
    MutexLock lock(mutex_);
    updates_.push_back("evict " + container_id);
  }
  Calls updates() const {
    MutexLock lock(mutex_);
    return updates_;
  }

 private:
  mutable Mutex mutex_;
  Calls updates_ ABSL_GUARDED_BY(mutex_);
};

PluginSubject Subject(const std::string& id) {
  PluginSubject subject;
  subject.container_id = id;
  subject.container_name = id;
  return subject;
}

std::shared_ptr<const std::string> Spec(size_t bytes = 0) {
  return std::make_shared<const std::string>(absl::StrCat(
      R"({"annotations":{"filling":")", std::string(bytes, 'x'), R"("},"process":{"args":["sh"]}})"));
}

class NriHostTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/nri_host_test.XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
  }
  void TearDown() override {
    host_.reset();
    std::filesystem::remove_all(directory_);
  }

  NriHost& StartHost(std::vector<std::string> policies = {}, NriHostOptions options = {}) {
    options.socket_path = socket();
    options.policies = *PluginPolicies::Parse(policies);
    host_ = std::make_unique<NriHost>(std::move(options));
    host_->context().targets = &targets_;
    const absl::Status started = host_->Start();
    EXPECT_TRUE(started.ok()) << started;
    return *host_;
  }

  std::string socket() const { return directory_ + "/nri/nri.sock"; }

  // Waits until that many plugins are active.
  void AwaitActive(size_t count) {
    const absl::Time end = absl::Now() + absl::Seconds(5);
    while (host_->context().table.active().size() != count && absl::Now() < end) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    ASSERT_EQ(host_->context().table.active().size(), count);
  }

  // A whole create, as the spec pipeline makes it.
  absl::Status Create(PluginPod& pod, const std::string& id) {
    absl::StatusOr<PluginCalls*> calls = pod.BeginCreate();
    if (!calls.ok()) return calls.status();
    nri::CreateContainerRequest request;
    request.mutable_pod()->set_id(id);
    request.mutable_container()->set_id(id);
    for (size_t i = 0; i < (*calls)->plugins().size(); ++i) {
      const absl::StatusOr<CreateAnswer> answer = (*calls)->CreateContainer(i, request);
      if (!answer.ok()) {
        pod.CreateFailed();
        return answer.status();
      }
    }
    pod.Created(Spec(), {.state = nri::CONTAINER_CREATED, .pid = 1});
    return absl::OkStatus();
  }

  PluginReport Report(const std::string& name) const {
    for (const PluginReport& report : host_->List()) {
      if (report.name == name) return report;
    }
    return {};
  }

  std::string directory_;
  FakeTargets targets_;
  std::unique_ptr<NriHost> host_;
};

TEST_F(NriHostTest, APluginIsToldEachEventOnceAndInOrder) {
  NriHost& host = StartHost();
  FakePlugin plugin(socket());
  AwaitActive(1);
  PluginPod pod(host.context(), Subject("web"));
  ASSERT_TRUE(Create(pod, "web").ok());
  ASSERT_TRUE(pod.Starting(nullptr, {.state = nri::CONTAINER_CREATED, .pid = 1}).ok());
  pod.Started({.state = nri::CONTAINER_RUNNING, .pid = 1});
  pod.Stopped({.state = nri::CONTAINER_STOPPED});
  pod.Stopped({.state = nri::CONTAINER_STOPPED});
  ASSERT_TRUE(pod.Starting(Spec(), {.state = nri::CONTAINER_CREATED, .pid = 2}).ok());
  pod.Started({.state = nri::CONTAINER_RUNNING, .pid = 2});
  pod.Removed();
  pod.Removed();
  EXPECT_EQ(plugin.calls(),
            (Calls{"Configure", "Synchronize", "RunPodSandbox web", "CreateContainer web",
                   "PostCreateContainer web", "StartContainer web", "PostStartContainer web",
                   "StopContainer web", "StartContainer web", "PostStartContainer web",
                   "StopContainer web", "StopPodSandbox web", "RemoveContainer web",
                   "RemovePodSandbox web"}));
  EXPECT_EQ(plugin.protocol_error(), "");
  EXPECT_EQ(Report("10-fake").process.pid, getpid());
  EXPECT_EQ(Report("10-fake").subscriptions.size(), 14u);
  EXPECT_EQ(Report("10-fake").numbers.calls, 14u);
}

TEST_F(NriHostTest, PluginsAreAskedByIndexThenName) {
  NriHost& host = StartHost();
  FakePlugin last(socket(), {.index = "90", .name = "a"});
  FakePlugin second(socket(), {.index = "10", .name = "b"});
  FakePlugin first(socket(), {.index = "10", .name = "a"});
  AwaitActive(3);
  PluginPod pod(host.context(), Subject("web"));
  const absl::StatusOr<PluginCalls*> calls = pod.BeginCreate();
  ASSERT_TRUE(calls.ok());
  Calls names;
  for (const PluginInfo& info : (*calls)->plugins()) names.push_back(info.QualifiedName());
  EXPECT_EQ(names, (Calls{"10-a", "10-b", "90-a"}));
}

TEST_F(NriHostTest, AFailedCreateIsUndoneForThoseThatWereAsked) {
  NriHost& host = StartHost();
  FakePlugin asked(socket(), {.index = "10"});
  FakePlugin fails(socket(), {.index = "20", .handlers = {{"CreateContainer", [](const auto&) {
                                return FakePlugin::Error(2, "no CPUs left");
                              }}}});
  AwaitActive(2);
  PluginPod pod(host.context(), Subject("web"));
  const absl::Status status = Create(pod, "web");
  EXPECT_EQ(GetReason(status), "PLUGIN_FAILED");
  EXPECT_EQ(status.message(), "plugin 20-fake: CreateContainer: no CPUs left");
  EXPECT_EQ(asked.calls(), (Calls{"Configure", "Synchronize", "RunPodSandbox web",
                                  "CreateContainer web", "StopContainer web", "StopPodSandbox web",
                                  "RemoveContainer web", "RemovePodSandbox web"}));
  EXPECT_EQ(host.context().table.containers(), 0u);
}

TEST_F(NriHostTest, AnOldPluginGetsItsEventsAsStateChange) {
  NriHost& host = StartHost();
  FakePlugin old(socket(), {.events = 0x7ff, .legacy = true});
  AwaitActive(1);
  PluginPod pod(host.context(), Subject("web"));
  ASSERT_TRUE(Create(pod, "web").ok());
  pod.Stopped({.state = nri::CONTAINER_STOPPED});
  pod.Removed();
  EXPECT_EQ(old.calls(),
            (Calls{"Configure", "Synchronize", "StateChange RUN_POD_SANDBOX web",
                   "CreateContainer web", "StateChange POST_CREATE_CONTAINER web",
                   "StopContainer web", "StateChange STOP_POD_SANDBOX web",
                   "StateChange REMOVE_CONTAINER web", "StateChange REMOVE_POD_SANDBOX web"}));
  EXPECT_EQ(Report("10-fake").numbers.failures, 0u);
}

TEST_F(NriHostTest, APluginThatHangsIsDroppedAndTheCreateGoesOn) {
  NriHost& host = StartHost({"hangs,timeout=100ms"});
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  FakePlugin plugin(socket(), {.name = "hangs", .handlers = {{"CreateContainer", [&](const auto&) {
                                 released.wait();
                                 return ttrpc::Response();
                               }}}});
  FakePlugin other(socket(), {.index = "20"});
  AwaitActive(2);
  PluginPod pod(host.context(), Subject("web"));
  const absl::Time begin = absl::Now();
  EXPECT_TRUE(Create(pod, "web").ok());
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(100));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(1));
  release.set_value();
  AwaitActive(1);
  const PluginReport report = Report("10-hangs");
  EXPECT_FALSE(report.connected);
  EXPECT_EQ(report.numbers.timeouts, 1u);
  EXPECT_EQ(report.disconnect_reason, "CreateContainer: no answer within 100ms");
  EXPECT_EQ(other.calls().back(), "PostCreateContainer web");
}

TEST_F(NriHostTest, APolicyMakesATimeoutAFailure) {
  NriHost& host = StartHost({"hangs,timeout=50ms,fail-closed"});
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  FakePlugin plugin(socket(), {.name = "hangs", .handlers = {{"CreateContainer", [&](const auto&) {
                                 released.wait();
                                 return ttrpc::Response();
                               }}}});
  AwaitActive(1);
  PluginPod pod(host.context(), Subject("web"));
  EXPECT_EQ(GetReason(Create(pod, "web")), "PLUGIN_FAILED");
  release.set_value();
}

TEST_F(NriHostTest, ARequiredPluginMustBeThere) {
  NriHost& host = StartHost({"needed,required"});
  PluginPod pod(host.context(), Subject("web"));
  EXPECT_EQ(GetReason(Create(pod, "web")), "PLUGIN_FAILED");
  FakePlugin plugin(socket(), {.name = "needed"});
  AwaitActive(1);
  EXPECT_TRUE(Create(pod, "web").ok());
}

TEST_F(NriHostTest, SynchronizeGoesInPartsWhereThereIsMuch) {
  NriHost& host = StartHost();
  constexpr size_t kContainers = 5000;
  std::vector<std::unique_ptr<PluginPod>> pods;
  for (size_t i = 0; i < kContainers; ++i) {
    const std::string id = absl::StrCat("c", i);
    pods.push_back(std::make_unique<PluginPod>(host.context(), Subject(id)));
    pods.back()->Restore(Spec(1000), {.state = nri::CONTAINER_RUNNING, .pid = 1});
  }
  FakePlugin plugin(socket());
  AwaitActive(1);
  EXPECT_EQ(plugin.synchronized().pods_size(), static_cast<int>(kContainers));
  EXPECT_EQ(plugin.synchronized().containers_size(), static_cast<int>(kContainers));
  EXPECT_GT(plugin.synchronize_parts(), 4);
  EXPECT_EQ(plugin.protocol_error(), "");
}

TEST_F(NriHostTest, StoppedContainersArePodsAloneToANewPlugin) {
  NriHost& host = StartHost();
  PluginPod pod(host.context(), Subject("ended"));
  pod.Restore(Spec(), {.state = nri::CONTAINER_STOPPED});
  FakePlugin plugin(socket());
  AwaitActive(1);
  EXPECT_EQ(plugin.synchronized().pods_size(), 1);
  EXPECT_EQ(plugin.synchronized().containers_size(), 0);
}

TEST_F(NriHostTest, CreatesGoOnWhileAPluginSynchronizesAndItLearnsOfThem) {
  NriHost& host = StartHost();
  PluginPod there(host.context(), Subject("there"));
  there.Restore(Spec(), {.state = nri::CONTAINER_RUNNING});
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  FakePlugin plugin(socket(), {.handlers = {{"Synchronize", [&](const auto&) {
                                 released.wait();
                                 return ttrpc::Response();
                               }}}});
  ASSERT_TRUE(plugin.WaitForCall("Synchronize"));
  absl::SleepFor(absl::Milliseconds(300));  // patience is over
  PluginPod pod(host.context(), Subject("new"));
  const absl::Time begin = absl::Now();
  ASSERT_TRUE(Create(pod, "new").ok());
  EXPECT_LT(absl::Now() - begin, absl::Milliseconds(40));
  there.Stopped({.state = nri::CONTAINER_STOPPED});
  EXPECT_TRUE(host.context().table.active().empty());
  release.set_value();
  AwaitActive(1);
  pod.Removed();
  EXPECT_EQ(plugin.calls(),
            (Calls{"Configure", "Synchronize", "StopContainer there", "RunPodSandbox new",
                   "PostCreateContainer new", "StopContainer new", "StopPodSandbox new",
                   "RemoveContainer new", "RemovePodSandbox new"}));
}

TEST_F(NriHostTest, NoContainerIsMissedByAPluginThatJoinsWhileManyAreMade) {
  NriHost& host = StartHost();
  std::atomic<bool> stop{false};
  std::vector<std::unique_ptr<PluginPod>> pods;
  std::thread creator([&] {
    for (int i = 0; !stop; ++i) {
      const std::string id = absl::StrCat("c", i);
      pods.push_back(std::make_unique<PluginPod>(host.context(), Subject(id)));
      ASSERT_TRUE(Create(*pods.back(), id).ok());
      absl::SleepFor(absl::Milliseconds(1));
    }
  });
  absl::SleepFor(absl::Milliseconds(20));
  FakePlugin plugin(socket());
  AwaitActive(1);
  absl::SleepFor(absl::Milliseconds(20));
  stop = true;
  creator.join();
  std::set<std::string> known;
  const nri::SynchronizeRequest synchronized = plugin.synchronized();
  for (const auto& container : synchronized.containers()) known.insert(container.id());
  for (const std::string& call : plugin.calls()) {
    constexpr std::string_view kCreated = "PostCreateContainer ";
    if (call.starts_with(kCreated)) {
      EXPECT_TRUE(known.insert(call.substr(kCreated.size())).second) << call;
    }
  }
  EXPECT_EQ(known.size(), pods.size());
}

TEST_F(NriHostTest, APluginUpdatesContainersAlsoFromItsOwnHandler) {
  NriHost& host = StartHost();
  nri::UpdateContainersRequest request;
  for (const char* const id : {"good", "gone", "bad"}) request.add_update()->set_container_id(id);
  request.add_evict()->set_container_id("victim");
  std::unique_ptr<FakePlugin> plugin;
  ttrpc::Response inside;
  plugin = std::make_unique<FakePlugin>(
      socket(), FakePlugin::Options{.handlers = {{"slow", {}},
                                                 {"CreateContainer", [&](const auto&) {
                                                    inside = plugin->Call(
                                                        "UpdateContainers",
                                                        request.SerializeAsString());
                                                    return ttrpc::Response();
                                                  }}}});
  AwaitActive(1);
  PluginPod pod(host.context(), Subject("web"));
  const absl::Time begin = absl::Now();
  ASSERT_TRUE(Create(pod, "web").ok());
  EXPECT_LT(absl::Now() - begin, absl::Seconds(1));
  EXPECT_EQ(inside.status().code(), 0);
  nri::UpdateContainersResponse response;
  ASSERT_TRUE(response.ParseFromString(inside.payload()));
  ASSERT_EQ(response.failed_size(), 1);
  EXPECT_EQ(response.failed(0).container_id(), "bad");
  EXPECT_EQ(targets_.updates(), (Calls{"10-fake good", "10-fake gone", "10-fake bad",
                                       "evict victim"}));
}

TEST_F(NriHostTest, ValidatorsAreAskedAtTheSameTime) {
  NriHost& host = StartHost();
  const FakePlugin::Handler slow_reject = [](const auto&) {
    absl::SleepFor(absl::Milliseconds(100));
    nri::ValidateContainerAdjustmentResponse response;
    response.set_reject(true);
    response.set_reason("because");
    return FakePlugin::Answer(response);
  };
  std::vector<std::unique_ptr<FakePlugin>> plugins;
  for (const char* const index : {"10", "20", "30"}) {
    plugins.push_back(std::make_unique<FakePlugin>(
        socket(), FakePlugin::Options{.index = index,
                                      .handlers = {{"ValidateContainerAdjustment", slow_reject}}}));
  }
  AwaitActive(3);
  PluginPod pod(host.context(), Subject("web"));
  const absl::StatusOr<PluginCalls*> calls = pod.BeginCreate();
  ASSERT_TRUE(calls.ok());
  const absl::Time begin = absl::Now();
  const std::vector<ValidatorVerdict> verdicts = (*calls)->Validate({});
  EXPECT_LT(absl::Now() - begin, absl::Milliseconds(250));
  ASSERT_EQ(verdicts.size(), 3u);
  EXPECT_FALSE(verdicts[1].accepted);
  EXPECT_EQ(verdicts[1].reason, "because");
  pod.CreateFailed();
}

TEST_F(NriHostTest, WhatAPeerDoesWrongCostsItsOwnConnection) {
  StartHost();
  FakePlugin good(socket(), {.index = "50"});
  AwaitActive(1);
  const std::string kGarbage[] = {
      std::string("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
      std::string("\0\0\0\2\xff\xff\xff\xff", 8),                          // 4 GiB
      std::string("\0\0\0\2\0\0\0\x0a\0\x50\0\0\0\0\0\1\1\0", 18),         // 5 MiB of ttrpc
      std::string("\0\0\0\2\0\0\0\x0a\0\0\0\0\0\0\0\1\7\0", 18),           // no such type
      std::string("\0\0\0\2\0\0\0\x0c\0\0\0\2\0\0\0\1\1\0\xff\xff", 20)};  // not a request
  for (const std::string& bytes : kGarbage) {
    FakePlugin bad(socket(), {.register_itself = false});
    ASSERT_EQ(send(bad.fd(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    EXPECT_TRUE(bad.WaitForClose());
  }
  FakePlugin half(socket(), {.register_itself = false});
  ASSERT_EQ(send(half.fd(), "\0\0\0\2\0", 5, 0), 5);
  shutdown(half.fd(), SHUT_WR);
  EXPECT_TRUE(half.WaitForClose());
  EXPECT_FALSE(good.closed());
  AwaitActive(1);
}

TEST_F(NriHostTest, RefusedRegistrationsAndUnknownMethodsSayWhy) {
  StartHost();
  FakePlugin plugin(socket(), {.register_itself = false});
  nri::RegisterPluginRequest request;
  request.set_plugin_name("a/b");
  request.set_plugin_idx("1");
  EXPECT_EQ(plugin.Call("RegisterPlugin", request.SerializeAsString()).status().code(), 2);
  EXPECT_EQ(plugin.Call("Fly", "").status().code(), 12);
  EXPECT_EQ(plugin.Call("Fly", "").status().message(), "method Fly");
  EXPECT_EQ(plugin.Call("UpdateContainers", "").status().code(), 2);
}

TEST_F(NriHostTest, ASilentClientIsSentAwayAndBlocksNobody) {
  NriHostOptions options;
  options.registration_timeout = absl::Milliseconds(200);
  StartHost({}, std::move(options));
  FakePlugin silent(socket(), {.register_itself = false});
  FakePlugin plugin(socket());
  AwaitActive(1);
  EXPECT_FALSE(silent.closed());
  EXPECT_TRUE(silent.WaitForClose());
  EXPECT_FALSE(plugin.closed());
}

TEST_F(NriHostTest, TheSameNameMayComeBack) {
  StartHost();
  {
    FakePlugin first(socket());
    AwaitActive(1);
  }
  FakePlugin second(socket());
  AwaitActive(1);
  EXPECT_EQ(host_->List().size(), 1u);
  EXPECT_TRUE(host_->List()[0].connected);
}

TEST_F(NriHostTest, ASocketThatSomebodyListensOnIsLeftAlone) {
  StartHost();
  NriHostOptions options;
  options.socket_path = socket();
  NriHost second(std::move(options));
  EXPECT_TRUE(absl::IsAlreadyExists(second.Start()));
  FakePlugin plugin(socket());
  AwaitActive(1);
}

TEST_F(NriHostTest, LaunchedPluginsGetThreeVariablesAndASocketAndTheirOutputIsLogged) {
  const std::string plugins = directory_ + "/plugins";
  std::filesystem::create_directory(plugins);
  const std::string path = plugins + "/10-shell";
  {
    std::ofstream file(path);
    file << "#!/bin/sh\n/usr/bin/env > " << directory_ << "/env\nls -l /proc/$$/fd > " << directory_
         << "/fds\necho hello\nexit 3\n";
  }
  chmod(path.c_str(), 0755);
  std::ofstream(plugins + "/not-a-plugin") << "x";
  testing::internal::CaptureStderr();
  NriHostOptions options;
  options.plugin_dir = plugins;
  StartHost({}, std::move(options));
  host_.reset();
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find(R"(plugin="10-shell" stream="stdout" line="hello")"), std::string::npos)
      << log;
  EXPECT_NE(log.find("exit code 3"), std::string::npos) << log;
  std::ifstream env(directory_ + "/env");
  std::set<std::string> lines;
  for (std::string line; std::getline(env, line);) lines.insert(line.substr(0, line.find('=')));
  lines.erase("PWD");  // the shell's own
  lines.erase("_");
  lines.erase("SHLVL");
  lines.erase("OLDPWD");
  EXPECT_EQ(lines, (std::set<std::string>{"NRI_PLUGIN_IDX", "NRI_PLUGIN_NAME",
                                          "NRI_PLUGIN_SOCKET"}));
  std::ifstream fds(directory_ + "/fds");
  const std::string text((std::istreambuf_iterator<char>(fds)), {});
  EXPECT_NE(text.find("3 -> socket:"), std::string::npos) << text;
  EXPECT_EQ(text.find("4 -> "), std::string::npos) << text;
}

}  // namespace
}  // namespace ocid
