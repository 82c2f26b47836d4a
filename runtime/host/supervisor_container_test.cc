// The real supervisor with real containers: busybox in namespaces of its own. Needs root.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/base/error_details.h"
#include "runtime/host/attach_stream.h"
#include "runtime/host/host_facts.h"
#include "runtime/host/supervisor_handle.h"
#include "runtime/plan/plan_compile.h"

namespace ocid {
namespace {

using nlohmann::json;

constexpr absl::Duration kTimeout = absl::Seconds(20);
constexpr char kBusybox[] = "/bin/busybox";

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

template <typename Condition>
bool Eventually(Condition condition) {
  for (int i = 0; i < 10000; ++i) {
    if (condition()) return true;
    usleep(1000);
  }
  return false;
}

json MakeProcess(const std::string& script, bool terminal) {
  return {
      {"terminal", terminal},
      {"user", {{"uid", 0}, {"gid", 0}}},
      {"args", {"/bin/sh", "-c", script}},
      {"env", {"PATH=/bin", "TERM=xterm"}},
      {"cwd", "/"},
      {"noNewPrivileges", true},
  };
}

json MakeSpec(const json& process) {
  return {
      {"ociVersion", "1.0.2"},
      {"process", process},
      {"root", {{"path", "rootfs"}}},
      {"hostname", "inside"},
      {"mounts",
       {
           {{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}},
           {{"destination", "/dev"},
            {"type", "tmpfs"},
            {"source", "tmpfs"},
            {"options", {"nosuid", "mode=755"}}},
           {{"destination", "/dev/pts"},
            {"type", "devpts"},
            {"source", "devpts"},
            {"options", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}}},
       }},
      {"linux",
       {{"namespaces",
         {{{"type", "pid"}}, {{"type", "mount"}}, {{"type", "ipc"}}, {{"type", "uts"}}}}}},
  };
}

class SupervisorContainerTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    if (access(kBusybox, X_OK) != 0) GTEST_SKIP() << "needs busybox-static";
    path_ = testing::TempDir() + "/supervisor_container_XXXXXX";
    ASSERT_NE(mkdtemp(path_.data()), nullptr);
    std::filesystem::create_directories(path_ + "/rootfs/bin");
    std::filesystem::copy_file(kBusybox, path_ + "/rootfs/bin/busybox");
    for (const char* name : {"sh", "cat", "echo", "hostname", "sleep", "stty", "true", "ls"}) {
      std::filesystem::create_symlink("busybox", path_ + "/rootfs/bin/" + name);
    }
    dir_.reset(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    auto host = SupervisorHost::Open({.supervisor_path = "runtime/supervisor/ocid-supervisor"});
    ASSERT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
  }

  void TearDown() override {
    if (handle_ != nullptr) {
      if (!exited_) kill(handle_->init().pid, SIGKILL);
      EXPECT_TRUE(Eventually([this] { return handle_->Shutdown(kTimeout).ok(); }));
    }
    if (dir_.valid()) std::filesystem::remove_all(path_);
  }

  void Create(const std::string& script, bool terminal = false) {
    spec_ = MakeSpec(MakeProcess(script, terminal));
    const auto plan = CompileCreate({.spec = spec_, .id = "test", .bundle = path_});
    ASSERT_TRUE(plan.ok()) << plan.status();
    CreateRequest request;
    request.id = "test";
    request.state_dir = dir_;
    request.container_dir = dir_;
    request.plan = plan->bytes();
    request.cgroup2_dir = cgroup_;
    request.oom_kills = oom_kills_;
    SupervisorCallbacks callbacks;
    callbacks.on_init_exit = [this](const ExitRecord& record) {
      code_ = ExitCode(record);
      exited_ = true;
    };
    callbacks.on_exec_exit = [this](const std::string&, const ExitRecord&) { ++exec_exits_; };
    auto handle = host_->Create(request, std::move(callbacks), kTimeout);
    ASSERT_TRUE(handle.ok()) << handle.status();
    handle_ = *std::move(handle);
  }

  void Run(const std::string& script, bool terminal = false) {
    Create(script, terminal);
    const absl::Status started = handle_->Start(kTimeout);
    ASSERT_TRUE(started.ok()) << started;
  }

  absl::StatusOr<ExecStarted> Exec(const std::string& id, const std::string& script,
                                   bool terminal = false) {
    const json process = MakeProcess(script, terminal);
    const auto plan =
        CompileExec({.spec = spec_, .process = process, .id = "test", .bundle = path_});
    if (!plan.ok()) return plan.status();
    ExecRequest request;
    request.exec_id = id;
    request.plan = plan->bytes();
    request.attach = true;
    request.cgroup2_dir = cgroup_;
    return handle_->Exec(request, kTimeout);
  }

  std::string Log() const {
    std::istringstream lines(ReadFile(path_ + "/log"));
    std::string text;
    for (std::string line; std::getline(lines, line);) {
      text += json::parse(line)["log"].get<std::string>();
    }
    return text;
  }

  // All output until the exit, or until `until` appears.
  static std::string ReadOutput(AttachStream& stream, const std::string& until = "") {
    std::string text;
    while (until.empty() || text.find(until) == std::string::npos) {
      pollfd ready = {stream.fd().get(), POLLIN, 0};
      if (poll(&ready, 1, 20000) != 1) break;
      const auto frame = stream.Read();
      if (!frame.ok() || frame->kind == AttachFrame::Kind::kExit ||
          frame->kind == AttachFrame::Kind::kClosed) {
        break;
      }
      text += frame->bytes;
    }
    return text;
  }

  std::string path_;
  UniqueFd dir_;
  UniqueFd cgroup_;
  UniqueFd oom_kills_;
  json spec_;
  std::atomic<int> code_ = -1;
  std::atomic<bool> exited_ = false;
  std::atomic<int> exec_exits_ = 0;
  std::unique_ptr<SupervisorHost> host_;
  std::shared_ptr<SupervisorHandle> handle_;
};

TEST_F(SupervisorContainerTest, RunsAsPidOneInItsOwnNamespaces) {
  Run("echo $$; hostname; ls /; exit 11");
  ASSERT_TRUE(Eventually([this] { return exited_.load(); }));
  EXPECT_EQ(code_, 11);
  EXPECT_EQ(Log(), "1\ninside\nbin\ndev\nproc\n");
}

TEST_F(SupervisorContainerTest, TheExitRecordHasTheKillsForLackOfMemoryThatTheCgroupCountsAtTheExit) {
  std::ofstream(path_ + "/memory.events") << "oom 0\noom_kill 0\n";
  oom_kills_.reset(open((path_ + "/memory.events").c_str(), O_RDONLY | O_CLOEXEC));
  Create("exit 0");
  std::ofstream(path_ + "/memory.events") << "oom 2\noom_kill 2\n";
  const absl::Status started = handle_->Start(kTimeout);
  ASSERT_TRUE(started.ok()) << started;
  ASSERT_TRUE(Eventually([this] { return exited_.load(); }));
  ExitRecord record;
  ASSERT_EQ(ReadExitRecord(dir_.get(), &record), 0);
  EXPECT_EQ(record.oom_kills, 2u);
}

TEST_F(SupervisorContainerTest, AMissingExecutableFailsTheStart) {
  spec_ = MakeSpec(MakeProcess("", false));
  spec_["process"]["args"] = {"/bin/nosuch"};
  const auto plan = CompileCreate({.spec = spec_, .id = "test", .bundle = path_});
  ASSERT_TRUE(plan.ok()) << plan.status();
  CreateRequest request;
  request.id = "test";
  request.state_dir = dir_;
  request.container_dir = dir_;
  request.plan = plan->bytes();
  SupervisorCallbacks callbacks;
  callbacks.on_init_exit = [this](const ExitRecord&) { exited_ = true; };
  auto handle = host_->Create(request, std::move(callbacks), kTimeout);
  ASSERT_TRUE(handle.ok()) << handle.status();
  handle_ = *std::move(handle);
  const absl::Status started = handle_->Start(kTimeout);
  EXPECT_EQ(GetReason(started), kReasonExecutableNotFound) << started;
  EXPECT_NE(started.message().find("/bin/nosuch"), absl::string_view::npos) << started;
  ASSERT_TRUE(Eventually([this] { return exited_.load(); }));
}

TEST_F(SupervisorContainerTest, AnExecJoinsTheContainer) {
  Run("sleep 1000; exit");  // by the shell itself: the exec may come before the sleep
  auto exec = Exec("e", "hostname; ls /; tr '\\0' ' ' </proc/1/cmdline");
  ASSERT_TRUE(exec.ok()) << exec.status();
  AttachStream stream(std::move(exec->stream));
  EXPECT_EQ(ReadOutput(stream), "inside\nbin\ndev\nproc\n/bin/sh -c sleep 1000; exit ");
}

TEST_F(SupervisorContainerTest, AConsoleHasTheSizeItIsGivenAndEchoesItsInput) {
  Create("stty size; read line; echo \"<$line>\"; stty size", /*terminal=*/true);
  ASSERT_TRUE(handle_->Resize("", 33, 101, kTimeout).ok());
  auto fd = handle_->Attach("", {}, kTimeout);
  ASSERT_TRUE(fd.ok()) << fd.status();
  AttachStream stream(*std::move(fd));
  ASSERT_TRUE(handle_->Start(kTimeout).ok());
  EXPECT_EQ(ReadOutput(stream, "\n"), "33 101\r\n");
  ASSERT_TRUE(handle_->Resize("", 50, 20, kTimeout).ok());
  ASSERT_TRUE(stream.WriteStdin("typed\n").ok());
  EXPECT_EQ(ReadOutput(stream), "typed\r\n<typed>\r\n50 20\r\n");
  ASSERT_TRUE(Eventually([this] { return exited_.load(); }));
  EXPECT_EQ(code_, 0);
}

TEST_F(SupervisorContainerTest, AnExecMayHaveAConsole) {
  Run("exec sleep 1000");
  auto exec = Exec("tty", "echo ready; read line; stty size; exit 4", /*terminal=*/true);
  ASSERT_TRUE(exec.ok()) << exec.status();
  AttachStream stream(std::move(exec->stream));
  EXPECT_EQ(ReadOutput(stream, "\n"), "ready\r\n");
  ASSERT_TRUE(handle_->Resize("tty", 12, 34, kTimeout).ok());
  ASSERT_TRUE(stream.WriteStdin("\n").ok());
  EXPECT_EQ(ReadOutput(stream), "\r\n12 34\r\n");
}

TEST_F(SupervisorContainerTest, OnlyTheSupervisorIsProtectedFromRunningOutOfMemory) {
  constexpr uint64_t kCapSysResource = uint64_t{1} << 24;
  const std::string status = ReadFile("/proc/self/status");
  if ((ParseStatusField(status, "CapEff", 16) & kCapSysResource) == 0) {
    GTEST_SKIP() << "needs CAP_SYS_RESOURCE";
  }
  const std::string own = ReadFile("/proc/self/oom_score_adj");
  Run("exec sleep 1000");
  const auto score = [](pid_t pid) {
    return ReadFile("/proc/" + std::to_string(pid) + "/oom_score_adj");
  };
  EXPECT_EQ(score(handle_->supervisor_pid()), "-999\n");
  EXPECT_EQ(score(handle_->init().pid), own);
  auto exec = Exec("e", "exec sleep 1000");
  ASSERT_TRUE(exec.ok()) << exec.status();
  EXPECT_EQ(score(exec->process.pid), own);
  EXPECT_EQ(score(handle_->supervisor_pid()), "-999\n");
}

TEST_F(SupervisorContainerTest, TheInitIsBornIntoTheCgroupThatItIsGiven) {
  std::string mount = "/sys/fs/cgroup";
  if (access((mount + "/cgroup.procs").c_str(), F_OK) != 0) mount += "/unified";
  const std::string group = mount + "/ocid-supervisor-test-" + std::to_string(getpid());
  if (mkdir(group.c_str(), 0755) != 0) GTEST_SKIP() << "needs a writable cgroup2 hierarchy";
  cgroup_.reset(open(group.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  Run("exec sleep 1000");
  auto exec = Exec("e", "exec sleep 1000");
  ASSERT_TRUE(exec.ok()) << exec.status();
  const std::string init_pid = std::to_string(handle_->init().pid) + "\n";
  EXPECT_EQ(ReadFile(group + "/cgroup.procs"), init_pid + std::to_string(exec->process.pid) + "\n");
  ASSERT_TRUE(handle_->Signal(SIGKILL, kTimeout).ok());
  ASSERT_TRUE(Eventually([&] { return exited_ && exec_exits_ == 1; }));
  EXPECT_TRUE(Eventually([&] { return rmdir(group.c_str()) == 0; }));
}

TEST_F(SupervisorContainerTest, TheEndOfTheInitEndsItsExecs) {
  Run("exec sleep 1000");
  auto exec = Exec("e", "exec sleep 1000");
  ASSERT_TRUE(exec.ok()) << exec.status();
  ASSERT_TRUE(handle_->Signal(SIGKILL, kTimeout).ok());
  ASSERT_TRUE(Eventually([this] { return exited_ && exec_exits_ == 1; }));
  EXPECT_EQ(code_, 128 + SIGKILL);
  const auto status = handle_->Status(kTimeout);
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->execs[0].status.exit.signal, SIGKILL);
  EXPECT_TRUE(Eventually([this] { return handle_->Status(kTimeout)->output_drained; }));
}

}  // namespace
}  // namespace ocid
