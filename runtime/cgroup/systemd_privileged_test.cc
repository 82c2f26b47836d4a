// The manager `systemd` against a real one. Skipped where systemd does not run. As another user than
// root it is the user's own: tests/privileged/systemd/rootless_test.py.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/cgroup_child.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/cgroup/cgroup_manager.h"
#include "runtime/cgroup/scope_anchor.h"
#include "runtime/cgroup/systemd_client.h"
#include "runtime/cgroup/unit_settings.h"

namespace ocid {
namespace {

using nlohmann::json;

constexpr absl::Duration kTimeout = absl::Seconds(10);

// The property of a unit as `systemctl show` prints it: what an administrator sees.
std::string Show(const std::string& unit, const std::string& property) {
  const std::string command =
      absl::StrCat("systemctl ", ::geteuid() == 0 ? "" : "--user ", "show --value --property=", property, " ", unit);
  FILE* const output = ::popen(command.c_str(), "r");
  if (output == nullptr) return "popen failed";
  char line[256] = "";
  const char* const read = ::fgets(line, sizeof(line), output);
  ::pclose(output);
  std::string value = read == nullptr ? "" : line;
  while (!value.empty() && value.back() == '\n') value.pop_back();
  return value;
}

class SystemdTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::sd_booted() <= 0) GTEST_SKIP() << "systemd does not run here";
    options_.kind = CgroupManagerKind::kSystemd;
    manager_ = Open(options_);
    ASSERT_NE(manager_, nullptr);
  }

  static std::unique_ptr<CgroupManager> Open(const CgroupManagerOptions& options) {
    auto manager = CgroupManager::Open(options);
    EXPECT_TRUE(manager.ok()) << manager.status();
    return manager.ok() ? *std::move(manager) : nullptr;
  }

  std::unique_ptr<Cgroup> Create(const char* resources, std::string_view id = "web",
                                 std::string_view path = "",
                                 const std::vector<UnitProperty>& properties = {}) {
    auto cgroup = manager_->Create(id, path, json::parse(resources), properties);
    EXPECT_TRUE(cgroup.ok()) << cgroup.status();
    return cgroup.ok() ? *std::move(cgroup) : nullptr;
  }

  // Nobody waits for systemd to forget a unit: it does so a moment after the cgroup is gone.
  static bool GoesAway(const std::string& unit) {
    for (int i = 0; i < 1000; ++i) {
      if (Show(unit, "LoadState") == "not-found") return true;
      ::usleep(5000);
    }
    return false;
  }

  static bool Has(const char* controller) {
    const absl::StatusOr<CgroupLayout> layout = ReadCgroupLayout();
    return layout.ok() && (layout->unified_controllers.contains(controller) ||
                           layout->FindV1(controller) != nullptr);
  }

  CgroupManagerOptions options_;
  std::unique_ptr<CgroupManager> manager_;
};

TEST_F(SystemdTest, AutoIsSystemdWhereItRuns) {
  options_.kind = CgroupManagerKind::kAuto;
  EXPECT_EQ(Open(options_)->kind(), CgroupManagerKind::kSystemd);
}

TEST_F(SystemdTest, AContainerIsAScopeThatEndsWithIt) {
  const auto cgroup = Create("{}");
  ASSERT_NE(cgroup, nullptr);
  EXPECT_EQ(cgroup->unit(), "ocid-web.scope");
  EXPECT_TRUE(cgroup->Pids()->empty()) << "the anchor is not the container's";
  CgroupChild child(*cgroup, SleepForever);
  cgroup->ReleaseAnchor();
  EXPECT_EQ(*cgroup->Pids(), std::vector<pid_t>{child.pid()});
  EXPECT_EQ(Show("ocid-web.scope", "ActiveState"), "active");
  EXPECT_EQ(Show("ocid-web.scope", "Delegate"), "yes");
  EXPECT_EQ(Show("ocid-web.scope", "TasksMax"), "infinity");
  const std::string directory = cgroup->Paths()[0].directory;
  EXPECT_TRUE(directory.ends_with("/system.slice/ocid-web.scope")) << directory;
  const absl::Status removed = cgroup->Remove(kTimeout);
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_EQ(child.Wait(), 128 + SIGKILL);
  EXPECT_TRUE(GoesAway("ocid-web.scope"));
  EXPECT_FALSE(std::filesystem::exists(directory));
}

TEST_F(SystemdTest, LimitsArePropertiesAndSurviveADaemonReload) {
  if (!Has("memory") || !Has("pids") || !Has("cpu")) GTEST_SKIP() << "no controllers";
  const auto cgroup = Create(R"({
      "memory": {"limit": 16777216, "swap": 16777216},
      "cpu": {"quota": 50000, "period": 100000},
      "pids": {"limit": 7}})");
  ASSERT_NE(cgroup, nullptr);
  CgroupChild keeper(*cgroup, SleepForever);
  cgroup->ReleaseAnchor();
  EXPECT_EQ(Show("ocid-web.scope", "MemoryMax"), "16777216");
  EXPECT_EQ(Show("ocid-web.scope", "TasksMax"), "7");
  EXPECT_EQ(Show("ocid-web.scope", "CPUQuotaPerSecUSec"), "500ms");
  for (const char* const command : {"true", "systemctl daemon-reload", "systemctl daemon-reexec"}) {
    ASSERT_EQ(::system(command), 0) << command;
    const auto stats = cgroup->Stats();
    ASSERT_TRUE(stats.ok() && stats->memory && stats->pids) << stats.status();
    EXPECT_EQ(stats->memory->limit_bytes, 16777216u) << "after " << command;
    EXPECT_EQ(stats->memory->swap_limit_bytes.value_or(0), 0u) << "after " << command;
    EXPECT_EQ(stats->pids->limit, 7u) << "after " << command;
  }
  EXPECT_EQ(CgroupChild(*cgroup, [] { return TouchMemory(64 << 20); }).Wait(), 128 + SIGKILL);
  EXPECT_EQ(*cgroup->OomKillCount(), 1u);
  const absl::Status removed = cgroup->Remove(kTimeout);
  EXPECT_TRUE(removed.ok()) << removed;
}

TEST_F(SystemdTest, TheDevicePolicyIsTheUnitsAndSurvivesADaemonReload) {
  const auto cgroup = Create(R"({
      "devices": [{"allow": false, "access": "rwm"},
                  {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw"}]})");
  ASSERT_NE(cgroup, nullptr);
  const auto open_both = [] {
    return (::open("/dev/null", O_RDWR) >= 0 ? 1 : 0) + (::open("/dev/zero", O_RDWR) >= 0 ? 2 : 0);
  };
  CgroupChild keeper(*cgroup, SleepForever);
  cgroup->ReleaseAnchor();
  EXPECT_EQ(Show("ocid-web.scope", "DevicePolicy"), "strict");
  for (const char* const command : {"true", "systemctl daemon-reload", "systemctl daemon-reexec"}) {
    ASSERT_EQ(::system(command), 0) << command;
    EXPECT_EQ(CgroupChild(*cgroup, open_both).Wait(), 1) << "after " << command;
  }
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok());
}

TEST_F(SystemdTest, UpdateGoesThroughSystemdAndLasts) {
  if (!Has("pids")) GTEST_SKIP() << "no pids controller";
  const auto cgroup = Create(R"({"pids": {"limit": 7}})");
  ASSERT_NE(cgroup, nullptr);
  CgroupChild child(*cgroup, SleepForever);
  cgroup->ReleaseAnchor();
  const absl::Status updated = cgroup->Update(json::parse(R"({"pids": {"limit": 9}})"));
  EXPECT_TRUE(updated.ok()) << updated;
  ASSERT_EQ(::system("systemctl daemon-reload"), 0);
  EXPECT_EQ(Show("ocid-web.scope", "TasksMax"), "9");
  EXPECT_EQ(cgroup->Stats()->pids->limit, 9u);
  if (Has("cpuset")) {
    EXPECT_TRUE(cgroup->Update(json::parse(R"({"cpu": {"cpus": "0", "mems": "0"}})")).ok());
    cpu_set_t allowed;
    ASSERT_EQ(::sched_getaffinity(child.pid(), sizeof(allowed), &allowed), 0);
    EXPECT_EQ(CPU_COUNT(&allowed), 1);
  }
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok());
}

TEST_F(SystemdTest, SliceAndNameComeFromThePathAndPropertiesFromTheRequest) {
  const auto annotations =
      ParseUnitAnnotations({{"org.systemd.property.TimeoutStopSec", "uint64 7"},
                            {"org.systemd.property.Description", "'a container'"}});
  ASSERT_TRUE(annotations.ok());
  const auto cgroup = Create("{}", "web", "ocid-test.slice:job:one", annotations->properties);
  ASSERT_NE(cgroup, nullptr);
  EXPECT_EQ(cgroup->unit(), "job-one.scope");
  EXPECT_EQ(Show("job-one.scope", "Slice"), "ocid-test.slice");
  EXPECT_EQ(Show("job-one.scope", "TimeoutStopUSec"), "7s");
  EXPECT_EQ(Show("job-one.scope", "Description"), "a container");
  EXPECT_TRUE(cgroup->Paths()[0].directory.ends_with("/ocid.slice/ocid-test.slice/job-one.scope"));
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok());
}

TEST_F(SystemdTest, ALiveUnitIsNotTakenOverAndAFailedOneIs) {
  const auto first = Create("{}");
  ASSERT_NE(first, nullptr);
  const auto second = manager_->Create("web", "", json());
  EXPECT_EQ(GetReason(second.status()), "CGROUP_BUSY") << second.status();
  EXPECT_EQ(Show("ocid-web.scope", "ActiveState"), "active") << "it is not disturbed";
  EXPECT_TRUE(first->Remove(kTimeout).ok());
  ASSERT_TRUE(GoesAway("ocid-web.scope"));
  // A scope that runs into its time limit fails, and this one keeps its name then.
  const auto anchor = ScopeAnchor::Start();
  ASSERT_TRUE(anchor.ok());
  const auto client = SystemdClient::Open(kTimeout);
  ASSERT_TRUE(client.ok()) << client.status();
  const absl::Status started = (*client)->StartScope(
      "ocid-web.scope", anchor->pid(),
      {{"RuntimeMaxUSec", uint64_t{1000}}, {"CollectMode", std::string("inactive")}});
  ASSERT_TRUE(started.ok()) << started;
  for (int i = 0; i < 1000 && Show("ocid-web.scope", "ActiveState") != "failed"; ++i) {
    ::usleep(5000);
  }
  ASSERT_EQ(Show("ocid-web.scope", "ActiveState"), "failed");
  const auto third = Create("{}");
  ASSERT_NE(third, nullptr);
  EXPECT_TRUE(third->Remove(kTimeout).ok());
}

TEST_F(SystemdTest, ANameIsFreeAtOnceAfterARemoval) {
  for (int i = 0; i < 50; ++i) {
    const auto cgroup = Create("{}");
    ASSERT_NE(cgroup, nullptr) << "round " << i;
    CgroupChild child(*cgroup, SleepForever);
    cgroup->ReleaseAnchor();
    ASSERT_TRUE(cgroup->Remove(kTimeout).ok());
  }
}

TEST_F(SystemdTest, AStopThatNobodyWaitsForLeavesANewConnectionAtOnce) {
  const auto cgroup = Create("{}");
  ASSERT_NE(cgroup, nullptr);
  CgroupChild child(*cgroup, SleepForever);
  cgroup->ReleaseAnchor();
  const auto client = SystemdClient::Open(kTimeout, SystemdClient::Use::kOnce);
  ASSERT_TRUE(client.ok()) << client.status();
  (*client)->RequestStop("ocid-web.scope");
  EXPECT_TRUE(GoesAway("ocid-web.scope"));
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok());
}

TEST_F(SystemdTest, SupervisorsHaveAScopeThatLastsWhileOneIsInItAndIsMadeAgain) {
  auto first = manager_->SupervisorCgroup();
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(Show("ocid.supervisors.scope", "Slice"), "system.slice");
  auto later = Open(options_)->SupervisorCgroup();
  EXPECT_TRUE(later.ok()) << "another daemon shares it: " << later.status();
  ASSERT_EQ(::system("systemctl kill --signal=KILL ocid.supervisors.scope"), 0);
  ASSERT_TRUE(GoesAway("ocid.supervisors.scope"));
  auto again = manager_->SupervisorCgroup();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(Show("ocid.supervisors.scope", "ActiveState"), "active");
}

TEST_F(SystemdTest, AnErrorLeavesNoUnit) {
  ASSERT_TRUE(GoesAway("ocid-web.scope")) << "of the test before";
  const auto cgroup = manager_->Create("web", "", json::parse(R"({"cpu": {"cpus": "60000"}})"));
  EXPECT_FALSE(cgroup.ok());
  EXPECT_TRUE(GoesAway("ocid-web.scope"));
  const auto unknown = manager_->Create("web", "", json(), {{"NoSuchProperty", true}});
  EXPECT_EQ(GetReason(unknown.status()), "SYSTEMD_FAILED") << unknown.status();
  EXPECT_TRUE(GoesAway("ocid-web.scope"));
}

TEST_F(SystemdTest, AStopByTheAdministratorEndsTheContainer) {
  const auto cgroup = Create("{}");
  ASSERT_NE(cgroup, nullptr);
  CgroupChild child(*cgroup, SleepForever);
  cgroup->ReleaseAnchor();
  ASSERT_EQ(::system("systemctl stop ocid-web.scope"), 0);
  EXPECT_EQ(child.Wait(), 128 + SIGTERM);
  EXPECT_FALSE(*cgroup->Populated());
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok());
}

TEST_F(SystemdTest, AnotherManagerFindsTheScope) {
  const auto made = Create("{}");
  ASSERT_NE(made, nullptr);
  CgroupChild child(*made, SleepForever);
  made->ReleaseAnchor();
  auto found = Open(options_)->Open("web", "");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*(*found)->Pids(), std::vector<pid_t>{child.pid()});
  EXPECT_TRUE((*found)->Freeze(kTimeout).ok());
  EXPECT_TRUE((*found)->Remove(kTimeout).ok());
  EXPECT_TRUE(absl::IsNotFound(manager_->Open("web", "").status()));
}

TEST_F(SystemdTest, TheBusMayBeRestarted) {
  ASSERT_EQ(::system("systemctl restart dbus.service"), 0);
  const auto cgroup = Create("{}");
  ASSERT_NE(cgroup, nullptr);
  EXPECT_TRUE(cgroup->Remove(kTimeout).ok());
}

TEST_F(SystemdTest, ScopesAreMadeWhileSystemdExecutesItselfAnew) {
  std::atomic<bool> done = false;
  std::thread administrator([&] {
    while (!done) {
      EXPECT_EQ(::system("systemctl daemon-reexec"), 0);
      ::usleep(50000);
    }
  });
  for (int round = 0; round < 60; ++round) {
    const auto cgroup = Create(R"({"devices": [{"allow": false, "access": "rwm"}]})");
    if (cgroup == nullptr) break;
    const auto open_null = [] { return ::open("/dev/null", O_RDWR) >= 0 ? 1 : 0; };
    EXPECT_EQ(CgroupChild(*cgroup, open_null).Wait(), 0) << "round " << round;
    const absl::Status removed = cgroup->Remove(kTimeout);
    EXPECT_TRUE(removed.ok()) << removed;
  }
  done = true;
  administrator.join();
}

TEST_F(SystemdTest, ManyScopesComeAndGoAtOnce) {
  constexpr int kThreads = 4, kRounds = 10;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int round = 0; round < kRounds; ++round) {
        auto cgroup = manager_->Create(absl::StrCat("c", thread), "", json());
        ASSERT_TRUE(cgroup.ok()) << cgroup.status();
        const absl::Status removed = (*cgroup)->Remove(kTimeout);
        ASSERT_TRUE(removed.ok()) << removed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace ocid
