#include "runtime/launch/container_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

namespace ocid {
namespace {

using nlohmann::json;

constexpr const char* kBusybox = "/bin/busybox";
constexpr const char* kApplets[] = {"sh",    "cat",   "ls",       "echo",  "true",
                                    "false", "sleep", "id",       "tty",   "pwd",
                                    "stat",  "test",  "readlink", "mount", "env",
                                    "grep",  "mkdir", "touch",    "tr",    "cut"};

json Mount(const char* destination, const char* type, const char* source, json options) {
  json mount = {{"destination", destination}, {"type", type}, {"source", source}};
  if (!options.empty()) mount["options"] = std::move(options);
  return mount;
}

// Reads until the writers are gone; the container's processes are the only ones.
std::string ReadAll(BorrowedFd fd) {
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t size = read(fd.get(), buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return text;
    text.append(buffer, static_cast<size_t>(size));
  }
}

int Reap(BorrowedFd pidfd, pid_t pid) {
  pollfd item = {pidfd.get(), POLLIN, 0};
  const int ready = poll(&item, 1, 10000);
  if (ready == 0) kill(pid, SIGKILL);
  int status = -1;
  waitpid(pid, &status, 0);
  return status;
}

// Waits for the outcome of the start.
FailureRecord AwaitStart(const PlanView& plan, Launched& launched) {
  FailureRecord failure;
  for (;;) {
    if (ReadStatus(plan, &launched, &failure) != LaunchStatus::kPending) return failure;
    pollfd item = {launched.status.get(), POLLIN, 0};
    poll(&item, 1, -1);
  }
}

void MakePipe(UniqueFd& reader, UniqueFd& writer) {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) abort();
  reader.reset(ends[0]);
  writer.reset(ends[1]);
}

}  // namespace

std::string UnavailableBecause() {
  if (geteuid() != 0) return "needs root";
  if (access(kBusybox, X_OK) != 0) return "needs /bin/busybox (Debian: busybox-static)";
  return "";
}

json DefaultSpec(const std::vector<std::string>& arguments) {
  const json capabilities = {"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"};
  return {
      {"ociVersion", "1.2.0"},
      {"process",
       {{"user", {{"uid", 0}, {"gid", 0}}},
        {"args", arguments},
        {"env", {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}},
        {"cwd", "/"},
        {"capabilities",
         {{"bounding", capabilities}, {"effective", capabilities}, {"permitted", capabilities}}},
        {"rlimits", {{{"type", "RLIMIT_NOFILE"}, {"hard", 1024}, {"soft", 1024}}}},
        {"noNewPrivileges", true}}},
      {"root", {{"path", "rootfs"}, {"readonly", true}}},
      {"hostname", "testbox"},
      {"mounts",
       {Mount("/proc", "proc", "proc", json::array()),
        Mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
        Mount("/dev/pts", "devpts", "devpts",
              {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
        Mount("/dev/shm", "tmpfs", "shm",
              {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
        Mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
        Mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
        Mount("/sys/fs/cgroup", "cgroup", "cgroup",
              {"nosuid", "noexec", "nodev", "relatime", "ro"})}},
      {"linux",
       {{"namespaces",
         {{{"type", "pid"}},
          {{"type", "network"}},
          {{"type", "ipc"}},
          {{"type", "uts"}},
          {{"type", "mount"}},
          {{"type", "cgroup"}}}},
        {"maskedPaths",
         {"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
          "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
          "/proc/scsi"}},
        {"readonlyPaths",
         {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}}}}};
}

TestBundle::TestBundle() {
  const char* base = getenv("TEST_TMPDIR");
  std::string pattern = std::string(base != nullptr ? base : "/tmp") + "/bundle.XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) abort();
  path_ = pattern;
  namespace fs = std::filesystem;
  for (const char* directory : {"bin", "dev", "etc", "proc", "sys", "tmp"}) {
    fs::create_directories(rootfs() + "/" + directory);
  }
  chmod(rootfs().c_str(), 0755);
  fs::permissions(rootfs() + "/tmp", fs::perms(01777));
  fs::copy_file(kBusybox, rootfs() + "/bin/busybox");
  for (const char* applet : kApplets) fs::create_symlink("busybox", rootfs() + "/bin/" + applet);
}

TestBundle::~TestBundle() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

absl::StatusOr<std::unique_ptr<TestContainer>> TestContainer::Create(
    const CreatePlanRequest& request, LaunchFds fds) {
  absl::StatusOr<LaunchPlan> plan = CompileCreate(request);
  if (!plan.ok()) return plan.status();
  std::unique_ptr<TestContainer> container(new TestContainer(*std::move(plan)));
  UniqueFd writer;
  MakePipe(container->output_, writer);
  if (!fds.standard_output.valid()) fds.standard_output = writer;
  if (!fds.standard_error.valid()) fds.standard_error = writer;
  container->failure_ = Launch(container->plan_.view(), fds, {}, &container->launched_);
  return container;
}

TestContainer::~TestContainer() {
  if (launched_.pid <= 0) return;
  kill(launched_.pid, SIGKILL);
  waitpid(launched_.pid, nullptr, 0);
}

void TestContainer::Start() {
  if (!failure_.ok() || started_) return;
  started_ = true;
  failure_ = OpenGate(launched_);
  if (failure_.ok()) failure_ = AwaitStart(plan_.view(), launched_);
}

RunResult TestContainer::Finish() {
  RunResult result;
  Start();
  if (launched_.pid > 0) {
    result.output = ReadAll(launched_.console.valid() ? launched_.console : output_);
    result.status = Reap(launched_.pidfd, launched_.pid);
    launched_.pid = -1;
  }
  result.failure = failure_;
  result.failure_text = DescribeFailure(plan_.view(), failure_);
  return result;
}

RunResult RunContainer(const CreatePlanRequest& request) {
  const auto container = TestContainer::Create(request);
  if (!container.ok()) {
    RunResult result;
    result.failure = MakeFailure(kFailedPlan, EINVAL);
    result.failure_text = container.status().ToString();
    return result;
  }
  return (*container)->Finish();
}

RunResult RunExec(TestContainer& container, const ExecPlanRequest& request) {
  RunResult result;
  const absl::StatusOr<LaunchPlan> plan = CompileExec(request);
  if (!plan.ok()) {
    result.failure = MakeFailure(kFailedPlan, EINVAL);
    result.failure_text = plan.status().ToString();
    return result;
  }
  UniqueFd reader;
  UniqueFd writer;
  MakePipe(reader, writer);
  LaunchFds fds;
  fds.standard_output = writer;
  fds.standard_error = writer;
  fds.join = container.launched().pidfd;
  Launched launched;
  result.failure = Launch(plan->view(), fds, {}, &launched);
  launched.container = container.launched().pid;
  writer.reset();
  if (result.failure.ok()) result.failure = AwaitStart(plan->view(), launched);
  if (launched.pid > 0) {
    result.output = ReadAll(launched.console.valid() ? launched.console : reader);
    result.status = Reap(launched.pidfd, launched.pid);
  }
  result.failure_text = DescribeFailure(plan->view(), result.failure);
  return result;
}

}  // namespace ocid
