// The manager `cgroupfs` on this machine's own cgroup tree, under a parent of the test's own.
// Needs root, a writable cgroup2 mount and, for limits, the controllers in either hierarchy.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/cgroup_child.h"
#include "runtime/cgroup/cgroup_events.h"
#include "runtime/cgroup/cgroup_files.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/cgroup/cgroup_manager.h"
#include "runtime/cgroup/device_policy.h"

namespace ocid {
namespace {

using nlohmann::json;

constexpr absl::Duration kTimeout = absl::Seconds(10);

class CgroupfsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    const absl::StatusOr<CgroupLayout> layout = ReadCgroupLayout();
    ASSERT_TRUE(layout.ok()) << layout.status();
    layout_ = *layout;
    if (layout_.unified_mount.empty()) GTEST_SKIP() << "cgroup2 is not mounted";
    options_.kind = CgroupManagerKind::kCgroupfs;
    options_.parent = parent_ = absl::StrCat("ocid-test-", ::getpid());
    manager_ = Open(options_);
    ASSERT_NE(manager_, nullptr);
  }

  // Nothing may be left in any hierarchy, whatever the test did.
  void TearDown() override {
    if (manager_ == nullptr) return;
    std::vector<std::string> mounts = {layout_.unified_mount};
    for (const V1Hierarchy& hierarchy : layout_.v1) mounts.push_back(hierarchy.mount_point);
    for (const std::string& mount : mounts) {
      const std::string path = mount + "/" + parent_;
      if (!std::filesystem::exists(path)) continue;
      if (!HasFailure()) ADD_FAILURE() << path << " was left behind";
      const auto directory = OpenCgroupDirectory({}, path);
      if (directory.ok()) {
        EXPECT_TRUE(KillCgroupProcesses(*directory, Deadline(kTimeout)).ok());
      }
      EXPECT_TRUE(RemoveCgroupTree({}, path).ok());
    }
  }

  static std::unique_ptr<CgroupManager> Open(const CgroupManagerOptions& options) {
    auto manager = CgroupManager::Open(options);
    EXPECT_TRUE(manager.ok()) << manager.status();
    return manager.ok() ? *std::move(manager) : nullptr;
  }

  std::unique_ptr<Cgroup> Create(const char* resources, std::string_view id = "web") {
    auto cgroup = manager_->Create(id, "", json::parse(resources));
    EXPECT_TRUE(cgroup.ok()) << cgroup.status();
    return cgroup.ok() ? *std::move(cgroup) : nullptr;
  }

  bool Has(const char* controller) const {
    return layout_.unified_controllers.contains(controller) ||
           layout_.FindV1(controller) != nullptr;
  }

  // On a hybrid host a second directory; nothing where the machine has no controller.
  const char* AnyLimit() const { return Has("pids") ? R"({"pids": {"limit": 50}})" : "{}"; }

  CgroupLayout layout_;
  CgroupManagerOptions options_;
  std::string parent_;
  std::unique_ptr<CgroupManager> manager_;
};

TEST_F(CgroupfsTest, WithoutLimitsACgroupIsOneDirectoryAndLeavesNone) {
  const auto cgroup = Create("{}");
  ASSERT_NE(cgroup, nullptr);
  EXPECT_EQ(cgroup->Paths(),
            (std::vector<CgroupPath>{{"", layout_.unified_mount + "/" + parent_ + "/web"}}));
  EXPECT_FALSE(*cgroup->Populated());
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok());
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok()) << "removing again is no error";
  EXPECT_FALSE(std::filesystem::exists(layout_.unified_mount + "/" + parent_));
}

TEST_F(CgroupfsTest, AProcessIsBornInEveryHierarchyAndIsListed) {
  const auto cgroup = Create(AnyLimit());
  ASSERT_NE(cgroup, nullptr);
  CgroupChild child(*cgroup, SleepForever);
  ASSERT_GT(child.pid(), 0);
  EXPECT_TRUE(*cgroup->Populated());
  EXPECT_EQ(*cgroup->Pids(), std::vector<pid_t>{child.pid()});
  const auto kill = cgroup->Kill();
  EXPECT_TRUE(kill.ok()) << kill;
  EXPECT_EQ(child.Wait(), 128 + SIGKILL);
  EXPECT_FALSE(*cgroup->Populated());
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok());
}

TEST_F(CgroupfsTest, FreezeStopsProcessesAndThawLetsThemGoOn) {
  const auto cgroup = Create("{}");
  ASSERT_NE(cgroup, nullptr);
  auto* const counter = static_cast<volatile uint64_t*>(
      ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  CgroupChild child(*cgroup, [&]() -> int {
    while (true) *counter = *counter + 1;
  });
  while (*counter == 0) ::usleep(100);
  const absl::Status frozen = cgroup->Freeze(kTimeout);
  ASSERT_TRUE(frozen.ok()) << frozen;
  EXPECT_TRUE(*cgroup->Frozen());
  const uint64_t at_freeze = *counter;
  ::usleep(20000);
  EXPECT_EQ(*counter, at_freeze);
  const absl::Status thawed = cgroup->Thaw(kTimeout);
  ASSERT_TRUE(thawed.ok()) << thawed;
  EXPECT_FALSE(*cgroup->Frozen());
  while (*counter == at_freeze) ::usleep(100);
  ASSERT_TRUE(cgroup->Freeze(kTimeout).ok());
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok()) << "a frozen process dies too";
  EXPECT_EQ(child.Wait(), 128 + SIGKILL);
}

TEST_F(CgroupfsTest, AProcessOverTheMemoryLimitIsKilledAndCounted) {
  if (!Has("memory")) GTEST_SKIP() << "no memory controller";
  const auto cgroup = Create(R"({"memory": {"limit": 16777216, "swap": 16777216}})");
  ASSERT_NE(cgroup, nullptr);
  {
    CgroupChild within(*cgroup, [] { return TouchMemory(4 << 20); });
    EXPECT_EQ(within.Wait(), 0);
  }
  EXPECT_EQ(*cgroup->OomKillCount(), 0u);
  CgroupChild over(*cgroup, [] { return TouchMemory(64 << 20); });
  EXPECT_EQ(over.Wait(), 128 + SIGKILL);
  EXPECT_EQ(*cgroup->OomKillCount(), 1u);
  const auto stats = cgroup->Stats();
  ASSERT_TRUE(stats.ok()) << stats.status();
  ASSERT_TRUE(stats->memory.has_value());
  EXPECT_EQ(stats->memory->limit_bytes, 16777216u);
  EXPECT_EQ(stats->memory->swap_limit_bytes, 0u);
  EXPECT_EQ(stats->memory->oom_kills, 1u);
  EXPECT_GE(stats->memory->peak_bytes.value_or(0), uint64_t{12} << 20);
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok());
}

TEST_F(CgroupfsTest, ThePidsLimitStopsForks) {
  if (!Has("pids")) GTEST_SKIP() << "no pids controller";
  const auto cgroup = Create(R"({"pids": {"limit": 3}})");
  ASSERT_NE(cgroup, nullptr);
  CgroupChild child(*cgroup, [] {
    int forked = 0;
    while (forked < 10) {
      const pid_t pid = ::fork();
      if (pid == 0) SleepForever();
      if (pid < 0) break;
      ++forked;
    }
    return forked;
  });
  EXPECT_EQ(child.Wait(), 2);
  EXPECT_EQ(cgroup->Pids()->size(), 2u);
  const auto stats = cgroup->Stats();
  ASSERT_TRUE(stats.ok() && stats->pids.has_value());
  EXPECT_EQ(stats->pids->current, 2u);
  EXPECT_EQ(stats->pids->limit, 3u);
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok()) << "orphans die with the cgroup";
}

TEST_F(CgroupfsTest, ADeviceThatThePolicyDoesNotNameCannotBeOpened) {
  const auto cgroup = Create(R"({"devices": [
      {"allow": false, "access": "rwm"},
      {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw"}]})");
  ASSERT_NE(cgroup, nullptr);
  CgroupChild child(*cgroup, [] {
    if (::open("/dev/null", O_RDWR) < 0) return 1;
    if (::open("/dev/zero", O_RDONLY) >= 0) return 2;
    return errno == EPERM ? 0 : 3;
  });
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok());
}

TEST_F(CgroupfsTest, TheDeviceProgramLoadsHoldsAndIsReplaced) {
  const auto cgroup = Create("{}");
  ASSERT_NE(cgroup, nullptr);
  const DevicePolicy only_null = {{false, 'a', {}, {}, kDeviceAll}, {true, 'c', 1, 3, kDeviceAll}};
  absl::Status attached =
      AttachDeviceProgram(cgroup->unified_fd(), CompileDeviceProgram(only_null));
  ASSERT_TRUE(attached.ok()) << attached;
  const auto open_both = [] {
    return (::open("/dev/null", O_RDWR) >= 0 ? 1 : 0) + (::open("/dev/zero", O_RDWR) >= 0 ? 2 : 0);
  };
  EXPECT_EQ(CgroupChild(*cgroup, open_both).Wait(), 1);
  const DevicePolicy only_zero = {{true, 'c', 1, 5, kDeviceRead | kDeviceWrite}};
  attached = AttachDeviceProgram(cgroup->unified_fd(), CompileDeviceProgram(only_zero));
  ASSERT_TRUE(attached.ok()) << attached;
  EXPECT_EQ(CgroupChild(*cgroup, open_both).Wait(), 2) << "the first program must be gone";
  DevicePolicy longest;
  for (uint32_t i = 0; i < kMaxDeviceRules; ++i) {
    longest.push_back({i % 2 == 0, "cb"[i % 2], i % 4096, i, kDeviceRead});
  }
  attached = AttachDeviceProgram(cgroup->unified_fd(), CompileDeviceProgram(longest));
  EXPECT_TRUE(attached.ok()) << attached;
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok());
}

TEST_F(CgroupfsTest, EveryLimitOfThisMachineCanBeRead) {
  if (!Has("cpu") || !Has("cpuset")) GTEST_SKIP() << "no cpu or cpuset controller";
  const auto cgroup = Create(R"({
      "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"},
      "memory": {"limit": 33554432, "reservation": 16777216},
      "hugepageLimits": []})");
  ASSERT_NE(cgroup, nullptr);
  CgroupChild child(*cgroup, SleepForever);
  if (const V1Hierarchy* const cpu = layout_.FindV1("cpu")) {
    const auto directory = OpenCgroupDirectory({}, cpu->mount_point + "/" + parent_ + "/web");
    ASSERT_TRUE(directory.ok()) << directory.status();
    EXPECT_EQ(*ReadCgroupFile(*directory, "cpu.shares"), "512\n");
    EXPECT_EQ(*ReadCgroupFile(*directory, "cpu.cfs_quota_us"), "50000\n");
    EXPECT_EQ(*ReadCgroupFile(*directory, "cgroup.procs"), absl::StrCat(child.pid(), "\n"));
  }
  cpu_set_t allowed;
  ASSERT_EQ(::sched_getaffinity(child.pid(), sizeof(allowed), &allowed), 0);
  EXPECT_EQ(CPU_COUNT(&allowed), 1);
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok());
}

TEST_F(CgroupfsTest, UpdateMovesARunningContainerIntoANewLimit) {
  if (!Has("pids") || !Has("memory")) GTEST_SKIP() << "no pids or memory controller";
  const auto cgroup = Create("{}");
  ASSERT_NE(cgroup, nullptr);
  CgroupChild child(*cgroup, SleepForever);
  absl::Status updated = cgroup->Update(json::parse(R"({"pids": {"limit": 7}})"));
  ASSERT_TRUE(updated.ok()) << updated;
  auto stats = cgroup->Stats();
  ASSERT_TRUE(stats.ok() && stats->pids.has_value());
  EXPECT_EQ(stats->pids->current, 1u);
  EXPECT_EQ(stats->pids->limit, 7u);
  // Both down and up: each order of the two writes is refused in one of the directions.
  for (const char* const limits : {R"({"memory": {"limit": 33554432, "swap": 33554432}})",
                                   R"({"memory": {"limit": 16777216, "swap": 16777216}})",
                                   R"({"memory": {"limit": 67108864, "swap": 67108864}})"}) {
    updated = cgroup->Update(json::parse(limits));
    EXPECT_TRUE(updated.ok()) << updated;
  }
  stats = cgroup->Stats();
  ASSERT_TRUE(stats.ok() && stats->memory.has_value());
  EXPECT_EQ(stats->memory->limit_bytes, 67108864u);
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok());
}

TEST_F(CgroupfsTest, AnUpdateThatIsWrongChangesNothing) {
  if (!Has("pids")) GTEST_SKIP() << "no pids controller";
  const auto cgroup = Create(R"({"pids": {"limit": 5}})");
  ASSERT_NE(cgroup, nullptr);
  const absl::Status updated =
      cgroup->Update(json::parse(R"({"pids": {"limit": 9}, "cpu": {"period": 1}})"));
  EXPECT_EQ(GetReason(updated), "RESOURCE_INVALID");
  EXPECT_EQ(cgroup->Stats()->pids->limit, 5u);
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok());
}

TEST_F(CgroupfsTest, AValueThatTheKernelRefusesNamesFileAndPointerAndLeavesNothing) {
  if (!Has("cpuset")) GTEST_SKIP() << "no cpuset controller";
  const auto cgroup = manager_->Create("web", "", json::parse(R"({"cpu": {"cpus": "60000"}})"));
  ASSERT_FALSE(cgroup.ok());
  EXPECT_EQ(GetReason(cgroup.status()), "RESOURCE_REFUSED") << cgroup.status();
  EXPECT_EQ(GetErrorMetadata(cgroup.status())["pointer"], "/linux/resources/cpu/cpus");
  EXPECT_TRUE(GetErrorMetadata(cgroup.status())["file"].ends_with("/web/cpuset.cpus"));
}

TEST_F(CgroupfsTest, AMissingControllerIsAnErrorOrOnRequestAWarning) {
  constexpr char kRdma[] = R"({"rdma": {"mlx5_0": {"hcaHandles": 1}}})";
  if (Has("rdma")) GTEST_SKIP() << "this machine has the controller";
  const auto refused = manager_->Create("web", "", json::parse(kRdma));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(GetReason(refused.status()), "CONTROLLER_MISSING");
  EXPECT_EQ(GetErrorMetadata(refused.status())["controller"], "rdma");
  options_.allow_missing_controllers = true;
  manager_ = Open(options_);
  const auto cgroup = Create(kRdma);
  ASSERT_NE(cgroup, nullptr);
  ASSERT_EQ(cgroup->warnings().size(), 1u);
  EXPECT_NE(cgroup->warnings()[0].find("/linux/resources/rdma/mlx5_0"), std::string::npos);
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok());
}

TEST_F(CgroupfsTest, APopulatedCgroupIsNotTakenOverAndAnEmptyOneIs) {
  const auto first = Create(AnyLimit());
  ASSERT_NE(first, nullptr);
  {
    CgroupChild child(*first, SleepForever);
    const auto second = manager_->Create("web", "", json());
    ASSERT_FALSE(second.ok());
    EXPECT_TRUE(absl::IsAlreadyExists(second.status()));
    EXPECT_EQ(GetReason(second.status()), "CGROUP_BUSY");
    EXPECT_EQ(*first->Pids(), std::vector<pid_t>{child.pid()}) << "it is not disturbed";
  }
  const auto third = Create("{}");
  ASSERT_NE(third, nullptr);
  EXPECT_EQ(third->Paths().size(), 1u) << "the leftover's limits are gone";
  EXPECT_TRUE(third->Remove(kTimeout).ok());
}

TEST_F(CgroupfsTest, AnotherManagerFindsTheCgroupAndKeepsItsProcesses) {
  const auto made = Create(AnyLimit());
  ASSERT_NE(made, nullptr);
  CgroupChild child(*made, SleepForever);
  const auto found = Open(options_)->Open("web", "");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ((*found)->Paths(), made->Paths());
  EXPECT_EQ(*(*found)->Pids(), std::vector<pid_t>{child.pid()});
  EXPECT_TRUE((*found)->Remove(kTimeout).ok());
  const auto gone = manager_->Open("web", "");
  EXPECT_TRUE(absl::IsNotFound(gone.status())) << gone.status();
  EXPECT_FALSE(*made->Populated());
  EXPECT_TRUE(made->Kill().ok()) << "there is nobody left to kill";
  EXPECT_TRUE(absl::IsNotFound(made->Stats().status()));
}

TEST_F(CgroupfsTest, RemoveTakesSubCgroupsAndTheirProcesses) {
  const auto cgroup = Create(AnyLimit());
  ASSERT_NE(cgroup, nullptr);

  for (const CgroupPath& part : cgroup->Paths()) {
    std::filesystem::create_directories(part.directory + "/a/b/c");
    std::filesystem::create_directories(part.directory + "/a/d");
  }
  CgroupChild child(*cgroup, SleepForever);
  const auto deep = OpenCgroupDirectory(cgroup->unified_fd(), "a/b/c");
  ASSERT_TRUE(deep.ok());
  ASSERT_TRUE(WriteCgroupFile(*deep, "cgroup.procs", absl::StrCat(child.pid())).ok());
  EXPECT_EQ(*cgroup->Pids(), std::vector<pid_t>{child.pid()});
  const absl::Status removed = cgroup->Remove(kTimeout);
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_EQ(child.Wait(), 128 + SIGKILL);
}

TEST_F(CgroupfsTest, RemoveAlsoEndsWhoIsInAV1CgroupAlone) {
  if (layout_.FindV1("pids") == nullptr) GTEST_SKIP() << "pids is not in v1";
  const auto cgroup = Create(R"({"pids": {"limit": 50}})");
  ASSERT_NE(cgroup, nullptr);
  CgroupChild child(*cgroup, SleepForever);
  const auto root = OpenCgroupDirectory({}, layout_.unified_mount);
  ASSERT_TRUE(root.ok());
  ASSERT_TRUE(WriteCgroupFile(*root, "cgroup.procs", absl::StrCat(child.pid())).ok());
  EXPECT_FALSE(*cgroup->Populated());
  const absl::Status removed = cgroup->Remove(kTimeout);
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_EQ(child.Wait(), 128 + SIGKILL);
}

TEST_F(CgroupfsTest, AnAbsolutePathLeavesParentsOfOthersAlone) {
  const std::string theirs = layout_.unified_mount + "/" + parent_;
  std::filesystem::create_directory(theirs);
  auto cgroup = manager_->Create("web", "/" + parent_ + "/made/web", json());
  ASSERT_TRUE(cgroup.ok()) << cgroup.status();
  EXPECT_TRUE((*cgroup)->Remove(kTimeout).ok());
  EXPECT_FALSE(std::filesystem::exists(theirs + "/made")) << "we made it";
  EXPECT_TRUE(std::filesystem::exists(theirs)) << "we did not";
  std::filesystem::remove(theirs);
}

TEST_F(CgroupfsTest, ManyContainersComeAndGoAtOnceUnderOneParent) {
  constexpr int kThreads = 4, kRounds = 50;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int round = 0; round < kRounds; ++round) {
        auto cgroup = manager_->Create(absl::StrCat("c", thread), "", json::parse(AnyLimit()));
        ASSERT_TRUE(cgroup.ok()) << cgroup.status();
        const absl::Status removed = (*cgroup)->Remove(kTimeout);
        ASSERT_TRUE(removed.ok()) << removed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Reads until `done` holds; false if it does not within kTimeout.
bool WaitForState(CgroupEvents& events,
                  const std::function<bool(const CgroupEvents::State&)>& done) {
  const Deadline deadline(kTimeout);
  while (true) {
    const auto state = events.Read();
    if (!state.ok()) return false;
    if (done(*state)) return true;
    if (deadline.Passed()) return false;
    pollfd wait = {events.fd().get(), POLLIN, 0};
    ::poll(&wait, 1, deadline.PollMilliseconds());
  }
}

TEST_F(CgroupfsTest, EventsTellOfTheFirstProcessAFreezeAndTheLastProcess) {
  const auto cgroup = Create("{}");
  ASSERT_NE(cgroup, nullptr);
  const auto events = CgroupEvents::Open(cgroup->Paths());
  ASSERT_TRUE(events.ok()) << events.status();
  EXPECT_EQ(*(*events)->Read(), (CgroupEvents::State{true, false, false, 0}));
  {
    CgroupChild child(*cgroup, SleepForever);
    EXPECT_TRUE(WaitForState(**events, [](const auto& state) { return state.populated; }));
    ASSERT_TRUE(cgroup->Freeze(kTimeout).ok());
    EXPECT_TRUE(WaitForState(**events, [](const auto& state) { return state.frozen; }));
    ASSERT_TRUE(cgroup->Thaw(kTimeout).ok());
  }
  EXPECT_TRUE(WaitForState(**events, [](const auto& state) { return !state.populated; }));
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok());
  EXPECT_TRUE(WaitForState(**events, [](const auto& state) { return !state.exists; }));
}

TEST_F(CgroupfsTest, EventsTellOfAnOomKill) {
  if (!Has("memory")) GTEST_SKIP() << "no memory controller";
  const auto cgroup = Create(R"({"memory": {"limit": 16777216, "swap": 16777216}})");
  ASSERT_NE(cgroup, nullptr);
  const auto events = CgroupEvents::Open(cgroup->Paths());
  ASSERT_TRUE(events.ok()) << events.status();
  CgroupChild over(*cgroup, [] { return TouchMemory(64 << 20); });
  EXPECT_TRUE(WaitForState(**events, [](const auto& state) { return state.oom_kills == 1; }));
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok());
}

TEST_F(CgroupfsTest, StatsHaveCpuAndPressureWithoutAnyLimit) {
  const auto cgroup = Create("{}");
  ASSERT_NE(cgroup, nullptr);
  CgroupChild(*cgroup, [] {
    for (volatile int i = 0; i < 20000000;) i = i + 1;
    return 0;
  }).Wait();
  const auto stats = cgroup->Stats();
  ASSERT_TRUE(stats.ok()) << stats.status();
  ASSERT_TRUE(stats->cpu.has_value());
  EXPECT_GT(stats->cpu->usage_ns, 1000000u);
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok());
}

}  // namespace
}  // namespace ocid
