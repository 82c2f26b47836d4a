// The real supervisor, launching plain processes of this test's user: no container, no privilege.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/base/error_details.h"
#include "runtime/base/mutex.h"
#include "runtime/host/attach_stream.h"
#include "runtime/host/supervisor_handle.h"
#include "runtime/host/test_plan.h"

namespace ocid {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(20);

// What a supervisor may cost. Sanitizers keep what was freed, and shadows of it.
constexpr size_t kMostPssKib = 300;
#if defined(__SANITIZE_ADDRESS__) || defined(OCID_TSAN)
constexpr bool kMeasuresMemory = false;
#else
constexpr bool kMeasuresMemory = true;
#endif

std::unique_ptr<SupervisorHost> OpenHost() {
  auto host = SupervisorHost::Open({.supervisor_path = "runtime/supervisor/ocid-supervisor"});
  EXPECT_TRUE(host.ok()) << host.status();
  return *std::move(host);
}

size_t CountFds(pid_t pid) {
  size_t count = 0;
  DIR* dir = opendir(("/proc/" + std::to_string(pid) + "/fd").c_str());
  while (dir != nullptr && readdir(dir) != nullptr) ++count;
  if (dir != nullptr) closedir(dir);
  return count;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

size_t PssKib(pid_t pid) {
  std::istringstream lines(ReadFile("/proc/" + std::to_string(pid) + "/smaps_rollup"));
  for (std::string word; lines >> word;) {
    size_t kib = 0;
    if (word == "Pss:" && lines >> kib) return kib;
  }
  return 0;
}

bool Exists(pid_t pid) { return kill(pid, 0) == 0; }

template <typename Condition>
bool Eventually(Condition condition) {
  for (int i = 0; i < 10000; ++i) {
    if (condition()) return true;
    usleep(1000);
  }
  return false;
}

class SupervisorHostTest : public testing::Test {
 protected:
  SupervisorHostTest() {
    path_ = testing::TempDir() + "/supervisor_host_XXXXXX";
    EXPECT_NE(mkdtemp(path_.data()), nullptr);
    dir_.reset(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }

  ~SupervisorHostTest() override {
    if (handle_ == nullptr) return;
    if (handle_->init().pid > 0 && !exited_) kill(handle_->init().pid, SIGKILL);
    Eventually([this] { return exited_ || lost_ > 0; });
    if (lost_ > 0) return;
    EXPECT_TRUE(handle_->Shutdown(kTimeout).ok());
  }

  SupervisorCallbacks Callbacks() {
    SupervisorCallbacks callbacks;
    callbacks.on_init_exit = [this](const ExitRecord& record) {
      MutexLock lock(mutex_);
      exit_ = record;
      exited_ = true;
    };
    callbacks.on_exec_exit = [this](const std::string& id, const ExitRecord& record) {
      MutexLock lock(mutex_);
      exec_exits_.emplace_back(id, record);
    };
    callbacks.on_lost = [this] { ++lost_; };
    return callbacks;
  }

  CreateRequest Request(std::string_view plan) const {
    CreateRequest request;
    request.id = "test";
    request.state_dir = dir_;
    request.container_dir = dir_;
    request.plan = plan;
    return request;
  }

  void Create(const TestPlan& plan, bool open_stdin = false) {
    const std::string bytes = MakeTestPlan(plan);
    CreateRequest request = Request(bytes);
    request.open_stdin = open_stdin;
    auto handle = host_->Create(request, Callbacks(), kTimeout);
    ASSERT_TRUE(handle.ok()) << handle.status();
    handle_ = *std::move(handle);
  }

  void Run(const std::string& script, bool open_stdin = false) {
    Create({.arguments = {"sh", "-c", script}}, open_stdin);
    const absl::Status started = handle_->Start(kTimeout);
    ASSERT_TRUE(started.ok()) << started;
  }

  absl::StatusOr<ExecStarted> Exec(const std::string& id, const std::string& script,
                                   bool attach = false, bool open_stdin = false) {
    const std::string plan = MakeTestPlan({.arguments = {"sh", "-c", script}, .join = true});
    ExecRequest request;
    request.exec_id = id;
    request.plan = plan;
    request.attach = attach;
    request.open_stdin = open_stdin;
    return handle_->Exec(request, kTimeout);
  }

  ExitRecord WaitExit() {
    EXPECT_TRUE(Eventually([this] { return exited_.load(); }));
    MutexLock lock(mutex_);
    return exit_;
  }

  bool WaitExecExits(size_t count) {
    return Eventually([this, count] {
      MutexLock lock(mutex_);
      return exec_exits_.size() >= count;
    });
  }

  // Of one stream, or of all.
  std::string Log(const std::string& stream = "") const {
    std::istringstream lines(ReadFile(path_ + "/log"));
    std::string text;
    for (std::string line; std::getline(lines, line);) {
      const nlohmann::json record = nlohmann::json::parse(line);
      if (stream.empty() || record["stream"] == stream) text += record["log"];
    }
    return text;
  }

  // Reads frames until one of `last` comes, or enough bytes have; returns the bytes.
  std::string ReadUntil(AttachStream& stream, AttachFrame::Kind last, AttachFrame* final,
                        size_t enough = SIZE_MAX) {
    std::string text;
    while (text.size() < enough) {
      pollfd ready = {stream.fd().get(), POLLIN, 0};
      if (poll(&ready, 1, 20000) != 1) break;
      auto frame = stream.Read();
      if (!frame.ok()) break;
      if (frame->kind == last || frame->kind == AttachFrame::Kind::kClosed) {
        *final = *frame;
        break;
      }
      next_offset_ = frame->offset + frame->bytes.size();
      text += frame->bytes;
    }
    return text;
  }

  std::string path_;
  UniqueFd dir_;
  Mutex mutex_;
  ExitRecord exit_;
  std::vector<std::pair<std::string, ExitRecord>> exec_exits_;
  std::atomic<bool> exited_ = false;
  std::atomic<int> lost_ = 0;
  uint64_t next_offset_ = 0;
  std::unique_ptr<SupervisorHost> host_ = OpenHost();
  std::shared_ptr<SupervisorHandle> handle_;
};

TEST_F(SupervisorHostTest, AnInitRunsOnlyWhenStartedAndItsExitIsOnDiskWhenItIsTold) {
  Create({.arguments = {"sh", "-c", "echo ran; exit 7"}});
  EXPECT_GT(handle_->init().start_time, 0u);
  EXPECT_EQ(handle_->Status(kTimeout)->init.state, ProcessState::kCreated);
  EXPECT_EQ(Log(), "");
  ASSERT_TRUE(handle_->Start(kTimeout).ok());
  const ExitRecord told = WaitExit();
  EXPECT_EQ(told.code, 7);
  ExitRecord written;
  ASSERT_EQ(ReadExitRecord(dir_.get(), &written), 0);
  EXPECT_EQ(written.code, 7);
  EXPECT_EQ(written.pid, handle_->init().pid);
  EXPECT_EQ(Log(), "ran\n");
  const auto status = handle_->Status(kTimeout);
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->init.state, ProcessState::kExited);
  EXPECT_TRUE(status->output_drained);
}

TEST_F(SupervisorHostTest, StreamsAreKeptApartAndNothingIsLost) {
  Run("i=0; while [ $i -lt 3000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done");
  WaitExit();
  std::string out, err;
  for (int i = 0; i < 3000; ++i) {
    out += "out " + std::to_string(i) + "\n";
    err += "err " + std::to_string(i) + "\n";
  }
  EXPECT_TRUE(Log("stdout") == out);
  EXPECT_TRUE(Log("stderr") == err);
  EXPECT_EQ(handle_->Status(kTimeout)->log_bytes, out.size() + err.size());
}

TEST_F(SupervisorHostTest, ASignalIsDeliveredAndReportedAsTheCause) {
  Run("exec sleep 1000");
  ASSERT_TRUE(handle_->Signal(SIGTERM, kTimeout).ok());
  const ExitRecord record = WaitExit();
  EXPECT_EQ(record.signal, SIGTERM);
  EXPECT_EQ(ExitCode(record), 143);
  EXPECT_TRUE(absl::IsFailedPrecondition(handle_->Signal(SIGTERM, kTimeout)));
  EXPECT_TRUE(absl::IsInvalidArgument(handle_->Signal(1000, kTimeout)));
}

TEST_F(SupervisorHostTest, AMissingExecutableIsNamedAndDistinguishable) {
  Create({.arguments = {"/no/such/program"}});
  const absl::Status status = handle_->Start(kTimeout);
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_EQ(GetReason(status), kReasonExecutableNotFound);
  EXPECT_NE(status.message().find("/no/such/program"), absl::string_view::npos) << status;
  WaitExit();
}

TEST_F(SupervisorHostTest, ACreateThatFailsLeavesNoSupervisor) {
  CreateRequest request = Request("this is no plan");
  const auto handle = host_->Create(request, Callbacks(), kTimeout);
  EXPECT_TRUE(absl::IsInvalidArgument(handle.status())) << handle.status();
  EXPECT_TRUE(absl::IsUnavailable(host_->Reattach(dir_, Callbacks(), kTimeout, nullptr).status()));
}

TEST_F(SupervisorHostTest, CallsInTheWrongStateAreRefused) {
  Create({.arguments = {"sleep", "1000"}});
  EXPECT_TRUE(absl::IsFailedPrecondition(Exec("early", "true").status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(handle_->Shutdown(kTimeout)));
  ASSERT_TRUE(handle_->Start(kTimeout).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(handle_->Start(kTimeout)));
  EXPECT_TRUE(absl::IsNotFound(handle_->SignalExec("none", 9, kTimeout)));
  EXPECT_TRUE(absl::IsNotFound(handle_->RemoveExec("none", kTimeout)));
  EXPECT_TRUE(absl::IsNotFound(handle_->Attach("none", {}, kTimeout).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Exec("", "true").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Exec(std::string(129, 'x'), "true").status()));
}

TEST_F(SupervisorHostTest, APoststartHookRunsBeforeStartReturns) {
  const std::string hook = path_ + "/hook";
  std::ofstream(hook) << "#!/bin/sh\necho ran > " << path_ << "/hook-ran\n";
  chmod(hook.c_str(), 0755);
  Create({.arguments = {"sleep", "1000"}, .poststart_hook = hook});
  const absl::Status started = handle_->Start(kTimeout);
  EXPECT_TRUE(started.ok()) << started;
  EXPECT_EQ(ReadFile(path_ + "/hook-ran"), "ran\n");
}

TEST_F(SupervisorHostTest, APoststartHookThatFailsStopsTheContainer) {
  const std::string hook = path_ + "/hook";
  std::ofstream(hook) << "#!/bin/sh\nexit 3\n";
  chmod(hook.c_str(), 0755);
  Create({.arguments = {"sleep", "1000"}, .poststart_hook = hook});
  EXPECT_TRUE(absl::IsFailedPrecondition(handle_->Start(kTimeout)));
  EXPECT_EQ(WaitExit().signal, SIGKILL);
}

TEST_F(SupervisorHostTest, ARestartedDaemonFindsTheSameProcessAndHearsOfItsExit) {
  Run("while read line; do echo got $line; [ $line = end ] && exit 9; done", /*open_stdin=*/true);
  const ProcessIdentity before = handle_->init();
  const pid_t supervisor = handle_->supervisor_pid();
  handle_.reset();
  host_.reset();
  host_ = OpenHost();
  SupervisorStatus status;
  auto again = host_->Reattach(dir_, Callbacks(), kTimeout, &status);
  ASSERT_TRUE(again.ok()) << again.status();
  handle_ = *std::move(again);
  EXPECT_EQ(handle_->init(), before);
  EXPECT_EQ(handle_->supervisor_pid(), supervisor);
  EXPECT_EQ(status.init.state, ProcessState::kRunning);
  auto fd = handle_->Attach("", {}, kTimeout);
  ASSERT_TRUE(fd.ok()) << fd.status();
  AttachStream stream(*std::move(fd));
  ASSERT_TRUE(stream.WriteStdin("one\nend\n").ok());
  EXPECT_EQ(WaitExit().code, 9);
  EXPECT_EQ(Log(), "got one\ngot end\n");
}

TEST_F(SupervisorHostTest, AnExitWithoutADaemonIsOnDiskAndInTheStatus) {
  Run("sleep 0.1; exit 4");
  exited_ = true;  // nobody will tell this test
  handle_.reset();
  host_.reset();
  ExitRecord record;
  EXPECT_TRUE(Eventually([&] { return ReadExitRecord(dir_.get(), &record) == 0; }));
  EXPECT_EQ(record.code, 4);
  host_ = OpenHost();
  SupervisorStatus status;
  auto again = host_->Reattach(dir_, Callbacks(), kTimeout, &status);
  ASSERT_TRUE(again.ok()) << again.status();
  handle_ = *std::move(again);
  EXPECT_EQ(status.init.state, ProcessState::kExited);
  EXPECT_EQ(status.init.exit.code, 4);
}

TEST_F(SupervisorHostTest, ACreatedContainerCanBeStartedByTheNextDaemon) {
  Create({.arguments = {"sh", "-c", "exit 6"}});
  handle_.reset();
  host_.reset();
  host_ = OpenHost();
  auto again = host_->Reattach(dir_, Callbacks(), kTimeout, nullptr);
  ASSERT_TRUE(again.ok()) << again.status();
  handle_ = *std::move(again);
  ASSERT_TRUE(handle_->Start(kTimeout).ok());
  EXPECT_EQ(WaitExit().code, 6);
}

TEST_F(SupervisorHostTest, TheNewestConnectionWins) {
  Run("exec sleep 1000");
  std::atomic<int> lost = 0;
  SupervisorCallbacks callbacks;
  callbacks.on_lost = [&lost] { ++lost; };
  auto second = host_->Reattach(dir_, std::move(callbacks), kTimeout, nullptr);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(Eventually([this] { return lost_ == 1; }));
  EXPECT_TRUE(absl::IsUnavailable(handle_->Status(kTimeout).status()));
  EXPECT_EQ((*second)->Status(kTimeout)->init.state, ProcessState::kRunning);
  ASSERT_TRUE((*second)->Signal(SIGKILL, kTimeout).ok());
  EXPECT_TRUE(Eventually([&] { return (*second)->Shutdown(kTimeout).ok(); }));
  EXPECT_EQ(lost, 0);
}

TEST_F(SupervisorHostTest, AnExecHasInputOutputAndACode) {
  Run("exec sleep 1000");
  auto exec = Exec("cat", "cat; echo done >&2; exit 5", /*attach=*/true, /*open_stdin=*/true);
  ASSERT_TRUE(exec.ok()) << exec.status();
  AttachStream stream(std::move(exec->stream));
  ASSERT_TRUE(stream.WriteStdin("hello\n").ok());
  ASSERT_TRUE(stream.CloseStdin().ok());
  AttachFrame last;
  EXPECT_EQ(ReadUntil(stream, AttachFrame::Kind::kExit, &last), "hello\ndone\n");
  EXPECT_EQ(last.kind, AttachFrame::Kind::kExit);
  EXPECT_EQ(last.exit.code, 5);
  ASSERT_TRUE(WaitExecExits(1));
  const auto status = handle_->Status(kTimeout);
  ASSERT_EQ(status->execs.size(), 1u);
  EXPECT_EQ(status->execs[0].exec_id, "cat");
  EXPECT_EQ(status->execs[0].status.state, ProcessState::kExited);
  EXPECT_TRUE(absl::IsAlreadyExists(Exec("cat", "true").status()));
  EXPECT_TRUE(handle_->RemoveExec("cat", kTimeout).ok());
  EXPECT_TRUE(handle_->Status(kTimeout)->execs.empty());
}

TEST_F(SupervisorHostTest, AnExecThatCannotRunLeavesNothingBehind) {
  Run("exec sleep 1000");
  const std::string plan = MakeTestPlan({.arguments = {"/no/such"}, .join = true});
  ExecRequest request;
  request.exec_id = "bad";
  request.plan = plan;
  const auto exec = handle_->Exec(request, kTimeout);
  EXPECT_EQ(GetReason(exec.status()), kReasonExecutableNotFound) << exec.status();
  EXPECT_TRUE(handle_->Status(kTimeout)->execs.empty());
  EXPECT_TRUE(Eventually([this] { return Exec("bad", "exit 1").ok(); }));
}

TEST_F(SupervisorHostTest, AnExecOutlivesItsClientAndTheNextOneResumes) {
  Run("exec sleep 1000");
  auto exec = Exec("loop", "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done",
                   /*attach=*/true);
  ASSERT_TRUE(exec.ok()) << exec.status();
  std::string all;
  AttachFrame last;
  {
    AttachStream stream(std::move(exec->stream));
    all = ReadUntil(stream, AttachFrame::Kind::kExit, &last, 20000);
  }
  handle_.reset();
  host_.reset();
  host_ = OpenHost();
  auto again = host_->Reattach(dir_, Callbacks(), kTimeout, nullptr);
  ASSERT_TRUE(again.ok()) << again.status();
  handle_ = *std::move(again);
  auto fd = handle_->Attach("loop", {.stdout_offset = next_offset_}, kTimeout);
  ASSERT_TRUE(fd.ok()) << fd.status();
  AttachStream stream(*std::move(fd));
  all += ReadUntil(stream, AttachFrame::Kind::kExit, &last);
  std::string expected;
  for (int i = 0; i < 20000; ++i) expected += std::to_string(i) + "\n";
  EXPECT_TRUE(all == expected);
  EXPECT_EQ(last.kind, AttachFrame::Kind::kExit);
}

TEST_F(SupervisorHostTest, AClientThatDoesNotReadHoldsUpNobodyElse) {
  Run("exec sleep 1000");
  auto stuck = Exec("stuck", "cat /dev/zero", /*attach=*/true);
  ASSERT_TRUE(stuck.ok()) << stuck.status();
  for (int i = 0; i < 20; ++i) {
    auto other = Exec("other" + std::to_string(i), "echo fine", /*attach=*/true);
    ASSERT_TRUE(other.ok()) << other.status();
    AttachStream stream(std::move(other->stream));
    AttachFrame last;
    EXPECT_EQ(ReadUntil(stream, AttachFrame::Kind::kExit, &last), "fine\n");
  }
  ASSERT_TRUE(handle_->SignalExec("stuck", SIGKILL, kTimeout).ok());
  ASSERT_TRUE(handle_->Signal(SIGKILL, kTimeout).ok());
  WaitExit();
}

TEST_F(SupervisorHostTest, AThousandExecsLeakNothing) {
  Run("exec sleep 1000");
  const auto round = [this](int i) {
    const std::string id = "e" + std::to_string(i);
    ASSERT_TRUE(Exec(id, "echo $$").ok());
    ASSERT_TRUE(WaitExecExits(static_cast<size_t>(i) + 1));
    ASSERT_TRUE(handle_->RemoveExec(id, kTimeout).ok());
  };
  for (int i = 0; i < 20; ++i) round(i);
  const pid_t supervisor = handle_->supervisor_pid();
  const size_t fds = CountFds(supervisor);
  const size_t own_fds = CountFds(getpid());
  const size_t pss = PssKib(supervisor);
  for (int i = 20; i < 1020; ++i) round(i);
  EXPECT_EQ(CountFds(supervisor), fds);
  EXPECT_EQ(CountFds(getpid()), own_fds);
  if (kMeasuresMemory) {
    EXPECT_LE(PssKib(supervisor), pss + 16);
    EXPECT_LE(PssKib(supervisor), kMostPssKib);
  }
}

TEST_F(SupervisorHostTest, ManyFinishedExecsAreListedInOrder) {
  Run("exec sleep 1000");
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(Exec("e" + std::to_string(i), "exit 2").ok());
  ASSERT_TRUE(WaitExecExits(50));
  const auto status = handle_->Status(kTimeout);
  ASSERT_TRUE(status.ok()) << status.status();
  ASSERT_EQ(status->execs.size(), 50u);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(status->execs[i].exec_id, "e" + std::to_string(i));
    EXPECT_EQ(status->execs[i].status.exit.code, 2);
  }
}

TEST_F(SupervisorHostTest, ASupervisorThatIsKilledIsReportedAndTakesAnUnstartedInitAlong) {
  Create({.arguments = {"sleep", "1000"}});
  const pid_t init = handle_->init().pid;
  const pid_t supervisor = handle_->supervisor_pid();
  ASSERT_TRUE(handle_->KillSupervisor().ok());
  EXPECT_TRUE(Eventually([this] { return lost_ == 1; }));
  EXPECT_TRUE(Eventually([&] { return !Exists(init) && !Exists(supervisor); }));
  EXPECT_TRUE(absl::IsUnavailable(handle_->Start(kTimeout)));
  EXPECT_TRUE(handle_->Shutdown(kTimeout).ok());
}

TEST_F(SupervisorHostTest, SignalsMeantForTheDaemonDoNotReachASupervisor) {
  Run("exec sleep 1000");
  for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGPIPE}) {
    ASSERT_EQ(kill(handle_->supervisor_pid(), signal), 0);
  }
  EXPECT_TRUE(handle_->Status(kTimeout).ok());
  EXPECT_NE(getsid(handle_->supervisor_pid()), getsid(0));
}

TEST_F(SupervisorHostTest, ASupervisorHoldsNothingButWhatItWasGiven) {
  const UniqueFd inheritable(open("/dev/null", O_RDONLY));
  Run("exec sleep 1000");
  const std::string fd_dir = "/proc/" + std::to_string(handle_->supervisor_pid()) + "/fd/";
  char target[256];
  for (int fd = 0; fd < 100; ++fd) {
    const ssize_t size =
        readlink((fd_dir + std::to_string(fd)).c_str(), target, sizeof(target) - 1);
    if (size < 0) continue;
    const std::string name(target, static_cast<size_t>(size));
    EXPECT_TRUE(fd <= 2 || name != "/dev/null") << fd;
    EXPECT_EQ(name.find("memfd:ocid-supervisor"), std::string::npos) << fd;
  }
}

}  // namespace
}  // namespace ocid
