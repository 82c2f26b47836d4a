#include "runtime/launch/launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"
#include "runtime/launch/launcher_testing.h"

namespace ocid {
namespace {

using nlohmann::json;

json BindMount(const std::string& source, const std::string& destination, json options) {
  return {{"destination", destination},
          {"type", "bind"},
          {"source", source},
          {"options", std::move(options)}};
}

using Launcher = LauncherTest;

TEST_F(Launcher, AContainerRunsAndItsExitCodeComesBack) {
  const RunResult result = Shell("echo hello; exit 7");
  EXPECT_TRUE(result.Exited(7)) << result.failure_text << result.output;
  EXPECT_EQ(result.output, "hello\n");
}

TEST_F(Launcher, TheProgramLivesInItsOwnNamespaces) {
  EXPECT_EQ(Output("busybox hostname; echo $$; cat /proc/self/cgroup | grep -c '\\.\\.'; "
                   "grep -c : /proc/net/dev; pwd"),
            "testbox\n1\n0\n1\n/\n");
}

TEST_F(Launcher, OnlyTheStandardStreamsAreOpen) {
  // The fourth is the directory that ls reads.
  spec_["process"]["args"] = {"ls", "/proc/self/fd"};
  const RunResult result = Run();
  EXPECT_TRUE(result.Exited(0)) << result.failure_text;
  EXPECT_EQ(result.output, "0\n1\n2\n3\n");
}

TEST_F(Launcher, PreservedDescriptorsStayOpenAndNoOthers) {
  const UniqueFd extra(open("/etc/hostname", O_RDONLY | O_CLOEXEC));
  dup2(extra.get(), 3);
  spec_["process"]["args"] = {"ls", "/proc/self/fd"};
  CreatePlanRequest request{.spec = spec_, .id = "test", .bundle = bundle_->path()};
  LaunchFds fds;
  fds.preserve = 1;
  auto container = TestContainer::Create(request, fds);
  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_EQ((*container)->Finish().output, "0\n1\n2\n3\n4\n");
}

TEST_F(Launcher, CapabilitiesAreExactlyTheSpecs) {
  EXPECT_EQ(Output("grep ^Cap /proc/self/status"),
            "CapInh:\t0000000000000000\nCapPrm:\t0000000020000420\nCapEff:\t0000000020000420\n"
            "CapBnd:\t0000000020000420\nCapAmb:\t0000000000000000\n");
}

TEST_F(Launcher, AnotherUserKeepsAmbientCapabilitiesAndGroups) {
  json& process = spec_["process"];
  process["user"] = {{"uid", 1000}, {"gid", 1001}, {"additionalGids", {7, 8}}, {"umask", 077}};
  for (const char* set : {"bounding", "effective", "permitted", "inheritable", "ambient"}) {
    process["capabilities"][set] = {"CAP_KILL"};
  }
  EXPECT_EQ(Output("id -u; id -g; id -G; umask; grep -E '^Cap(Inh|Eff|Amb)' /proc/self/status"),
            "1000\n1001\n1001 7 8\n0077\nCapInh:\t0000000000000020\nCapEff:\t0000000000000020\n"
            "CapAmb:\t0000000000000020\n");
}

TEST_F(Launcher, NoNewPrivilegesAndSeccompAreOn) {
  spec_["linux"]["seccomp"] = {
      {"defaultAction", "SCMP_ACT_ALLOW"},
      {"syscalls", {{{"names", {"getcwd"}}, {"action", "SCMP_ACT_ERRNO"}, {"errnoRet", 95}}}}};
  EXPECT_EQ(Output("grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status; busybox pwd 2>&1 || true"),
            "NoNewPrivs:\t1\nSeccomp:\t2\npwd: getcwd: Operation not supported\n");
}

TEST_F(Launcher, SeccompWorksWithoutNoNewPrivileges) {
  spec_["process"]["noNewPrivileges"] = false;
  spec_["process"]["user"] = {{"uid", 1000}, {"gid", 1000}};
  spec_["linux"]["seccomp"] = {
      {"defaultAction", "SCMP_ACT_ALLOW"},
      {"syscalls", {{{"names", {"setuid", "chdir", "mmap2"}}, {"action", "SCMP_ACT_ERRNO"}}}}};
  EXPECT_EQ(Output("grep -E '^(NoNewPrivs|Seccomp|CapEff):' /proc/self/status"),
            "CapEff:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\n");
}

TEST_F(Launcher, AFilterThatForbidsAllButExecveDoesNotStopTheStart) {
  spec_["linux"]["seccomp"] = {
      {"defaultAction", "SCMP_ACT_KILL_PROCESS"},
      {"syscalls", {{{"names", {"execve"}}, {"action", "SCMP_ACT_ALLOW"}}}}};
  const RunResult result = Shell("true");
  EXPECT_TRUE(result.failure.ok()) << result.failure_text;
  EXPECT_TRUE(WIFSIGNALED(result.status));
  EXPECT_EQ(WTERMSIG(result.status), SIGSYS);
}

TEST_F(Launcher, MaskedPathsAreEmptyAndReadonlyPathsAreReadonly) {
  spec_["linux"]["maskedPaths"] = {"/proc/meminfo", "/proc/version", "/sys/kernel",
                                   "/proc/fs",      "/proc/no/such", "/proc/meminfo/below"};
  EXPECT_EQ(Output("cat /proc/meminfo /proc/version; ls /sys/kernel /proc/fs;"
                   "(echo x > /sys/kernel/x) 2>&1; (echo 1 > /proc/sys/kernel/pid_max) 2>&1;"
                   "(echo x > /file) 2>&1; true"),
            "/proc/fs:\n\n/sys/kernel:\n"
            "sh: can't create /sys/kernel/x: Read-only file system\n"
            "sh: can't create /proc/sys/kernel/pid_max: Read-only file system\n"
            "sh: can't create /file: Read-only file system\n");
}

TEST_F(Launcher, DevIsFilled) {
  EXPECT_EQ(Output("cd /dev; for f in null zero full random urandom tty; do "
                   "stat -c '%n %F %t %T %a' $f; done; for f in fd stdin stdout stderr ptmx; do "
                   "echo $f $(readlink $f); done; stat -c %a /dev/pts/ptmx; stat -c %a /dev/shm"),
            "null character special file 1 3 666\nzero character special file 1 5 666\n"
            "full character special file 1 7 666\nrandom character special file 1 8 666\n"
            "urandom character special file 1 9 666\ntty character special file 5 0 666\n"
            "fd /proc/self/fd\nstdin /proc/self/fd/0\nstdout /proc/self/fd/1\n"
            "stderr /proc/self/fd/2\nptmx pts/ptmx\n666\n1777\n");
}

TEST_F(Launcher, ExtraDevicesAreMade) {
  spec_["linux"]["devices"] = {{{"path", "/dev/net/tun"},
                                {"type", "c"},
                                {"major", 10},
                                {"minor", 200},
                                {"fileMode", 0640},
                                {"uid", 5},
                                {"gid", 6}},
                               {{"path", "/dev/pipe"}, {"type", "p"}}};
  EXPECT_EQ(Output("stat -c '%F %t %T %a %u %g' /dev/net/tun; stat -c %F /dev/pipe"),
            "character special file a c8 640 5 6\nfifo\n");
}

TEST_F(Launcher, RlimitsAreSet) {
  spec_["process"]["rlimits"].push_back({{"type", "RLIMIT_CORE"}, {"soft", 0}, {"hard", 4096}});
  EXPECT_EQ(Output("ulimit -Sn; ulimit -Hn; ulimit -Sc"), "1024\n1024\n0\n");
}

TEST_F(Launcher, ALimitThatCannotBeRaisedFailsTheCreate) {
  const std::string status = ReadFile("/proc/self/status");
  const size_t at = status.find("CapEff:");
  const uint64_t effective = std::stoull(status.substr(at + 8), nullptr, 16);
  if ((effective >> 24 & 1) != 0) GTEST_SKIP() << "this machine grants CAP_SYS_RESOURCE";
  spec_["process"]["rlimits"] = {
      {{"type", "RLIMIT_MEMLOCK"}, {"soft", 1ull << 50}, {"hard", 1ull << 50}}};
  const auto container = Create("true");
  ASSERT_NE(container, nullptr);
  EXPECT_EQ(container->failure().error, EPERM);
  EXPECT_NE(
      DescribeFailure(container->plan().view(), container->failure()).find("set RLIMIT_MEMLOCK"),
      std::string::npos);
  EXPECT_EQ(FailureSource(container->plan().view(), container->failure()), "/process/rlimits/0");
}

TEST_F(Launcher, SysctlsAndNamesAreTheContainersOwn) {
  spec_["domainname"] = "example.org";
  spec_["linux"]["sysctl"] = {{"net.ipv4.ip_forward", "1"}, {"kernel.shm_rmid_forced", "1"}};
  EXPECT_EQ(Output("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced "
                   "/proc/sys/kernel/domainname"),
            "1\n1\nexample.org\n");
}

TEST_F(Launcher, OomScoreIsSet) {
  spec_["process"]["oomScoreAdj"] = 100;
  EXPECT_EQ(Output("cat /proc/self/oom_score_adj"), "100\n");
}

TEST_F(Launcher, BindMountsOfFilesAndDirectoriesHaveTheirOptions) {
  std::filesystem::create_directories(bundle_->path() + "/data/sub");
  std::ofstream(bundle_->path() + "/data/file") << "data\n";
  spec_["root"]["readonly"] = false;
  spec_["mounts"].push_back(BindMount("data", "/mnt/a", {"rbind", "ro", "nosuid"}));
  spec_["mounts"].push_back(
      BindMount(bundle_->path() + "/data/file", "/etc/new/file", {"bind", "rprivate"}));
  EXPECT_EQ(Output("ls /mnt/a; cat /etc/new/file; (echo x > /mnt/a/file) 2>&1; "
                   "grep -o ' /mnt/a [^ ]*' /proc/self/mountinfo; echo more >> /etc/new/file"),
            "file\nsub\ndata\nsh: can't create /mnt/a/file: Read-only file system\n"
            " /mnt/a ro,nosuid,relatime\n");
  EXPECT_EQ(ReadFile(bundle_->path() + "/data/file"), "data\nmore\n");
}

TEST_F(Launcher, SymlinksInTheImageLeadNowhereOutside) {
  const std::string canary = bundle_->path() + "/canary";
  std::filesystem::create_directories(canary);
  std::filesystem::create_directory_symlink(canary, bundle_->rootfs() + "/absolute");
  std::filesystem::create_directory_symlink("../../../../../../../.." + canary,
                                            bundle_->rootfs() + "/dotted");
  std::filesystem::remove_all(bundle_->rootfs() + "/dev");
  std::filesystem::create_directory_symlink(canary, bundle_->rootfs() + "/dev");
  spec_["root"]["readonly"] = false;
  spec_["mounts"].push_back(BindMount("/etc/hostname", "/absolute/made", {"bind"}));
  spec_["mounts"].push_back(BindMount("/etc/hostname", "/dotted/made", {"bind"}));
  EXPECT_EQ(Output("echo $(ls " + canary + ")"),
            "fd full made mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
            "\n");
  EXPECT_TRUE(std::filesystem::is_empty(canary));  // "made" is inside the root, as all the rest
}

TEST_F(Launcher, ProcThatIsASymlinkIsRefused) {
  std::filesystem::remove_all(bundle_->rootfs() + "/proc");
  std::filesystem::create_directory_symlink("tmp", bundle_->rootfs() + "/proc");
  const RunResult result = Shell("true");
  EXPECT_EQ(result.failure.error, ELOOP);
  EXPECT_NE(result.failure_text.find("mount proc on /proc: resolve the destination: ELOOP"),
            std::string::npos)
      << result.failure_text;
}

TEST_F(Launcher, AMountThatASymlinkLeadsIntoProcIsRefused) {
  std::filesystem::create_directory_symlink("/proc/sys", bundle_->rootfs() + "/evil");
  spec_["mounts"].push_back(BindMount(bundle_->path(), "/evil", {"bind"}));
  const RunResult result = Shell("true");
  EXPECT_NE(result.failure_text.find("the destination leads into procfs"), std::string::npos)
      << result.failure_text;
}

TEST_F(Launcher, AWorkingDirectoryThroughADescriptorIsRefused) {
  for (int fd = 3; fd < 12; ++fd) {
    spec_["process"]["cwd"] = "/proc/self/fd/" + std::to_string(fd);
    EXPECT_FALSE(Shell("true").failure.ok()) << fd;
  }
}

TEST_F(Launcher, AMissingWorkingDirectoryIsMade) {
  spec_["process"]["cwd"] = "/made/here";
  EXPECT_EQ(Output("pwd"), "/made/here\n");
}

TEST_F(Launcher, AMissingExecutableIsNamed) {
  spec_["process"]["args"] = {"no-such-program", "--flag"};
  const RunResult searched = Run();
  EXPECT_EQ(searched.failure_text, "exec no-such-program: ENOENT (No such file or directory)");
  spec_["process"]["args"] = {"/etc"};
  const RunResult directory = Run();
  EXPECT_EQ(directory.failure_text, "exec /etc: EACCES (Permission denied)");
}

TEST_F(Launcher, ASpecWithoutAProcessCannotBeStarted) {
  spec_.erase("process");
  CreatePlanRequest request{.spec = spec_, .id = "test", .bundle = bundle_->path()};
  auto container = TestContainer::Create(request);
  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_TRUE((*container)->failure().ok());
  (*container)->Start();
  EXPECT_FALSE((*container)->failure().ok());
}

TEST_F(Launcher, NothingRunsBeforeTheGateOpens) {
  spec_["root"]["readonly"] = false;
  auto container = Create("echo ran > /tmp/ran");
  ASSERT_NE(container, nullptr);
  ASSERT_TRUE(container->failure().ok());
  FailureRecord failure;
  EXPECT_EQ(ReadStatus(container->plan().view(), &container->launched(), &failure), LaunchStatus::kPending);
  EXPECT_FALSE(std::filesystem::exists(bundle_->rootfs() + "/tmp/ran"));
  EXPECT_TRUE(container->Finish().Exited(0));
  EXPECT_EQ(ReadFile(bundle_->rootfs() + "/tmp/ran"), "ran\n");
}

TEST_F(Launcher, AChildWhoseLauncherIsGoneEnds) {
  auto container = Create("true");
  ASSERT_NE(container, nullptr);
  container->launched().status.reset();
  int status = 0;
  EXPECT_EQ(waitpid(container->launched().pid, &status, 0), container->launched().pid);
  EXPECT_TRUE(WIFEXITED(status));
  container->launched().pid = -1;
}

TEST_F(Launcher, TheCallbackSeesTheChildAndCanRefuseIt) {
  spec_["process"]["args"] = {"true"};
  const auto plan = CompileCreate({.spec = spec_, .id = "test", .bundle = bundle_->path()});
  ASSERT_TRUE(plan.ok()) << plan.status();
  pid_t seen = 0;
  OnCloned refuse;
  refuse.context = &seen;
  refuse.function = [](void* context, pid_t pid, BorrowedFd pidfd) {
    *static_cast<pid_t*>(context) = pid;
    return pidfd.valid() ? EBUSY : EINVAL;
  };
  Launched launched;
  const FailureRecord failure = Launch(plan->view(), {}, refuse, &launched);
  EXPECT_EQ(failure.step, kFailedCallback);
  EXPECT_EQ(failure.error, EBUSY);
  EXPECT_GT(seen, 0);
  EXPECT_EQ(kill(seen, 0), -1) << "the child was left behind";
  EXPECT_EQ(launched.pid, -1);
}

TEST_F(Launcher, AnExecJoinsTheContainer) {
  spec_["process"]["args"] = {"sleep", "100"};
  CreatePlanRequest request{.spec = spec_, .id = "test", .bundle = bundle_->path()};
  auto container = TestContainer::Create(request);
  ASSERT_TRUE(container.ok()) << container.status();
  (*container)->Start();
  ASSERT_TRUE((*container)->failure().ok());
  json process = spec_["process"];
  process["args"] = {"sh", "-c",
                     "busybox hostname; set -- /proc/[0-9]*; echo $#; ls /proc/self/fd | wc -l;"
                     "readlink /proc/1/exe; for n in pid net ipc uts mnt cgroup; do "
                     "test $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) || echo $n;"
                     "done; grep CapEff /proc/self/status"};
  const RunResult result = RunExec(
      **container, {.spec = spec_, .process = process, .id = "test", .bundle = bundle_->path()});
  EXPECT_TRUE(result.Exited(0)) << result.failure_text;
  // Init and the shell; 0 to 2 and the directory.
  EXPECT_EQ(result.output, "testbox\n2\n4\n/bin/busybox\nCapEff:\t0000000020000420\n");
  // The launcher came back from the container's pid namespace.
  EXPECT_EQ(std::filesystem::read_symlink("/proc/self/ns/pid_for_children"),
            std::filesystem::read_symlink("/proc/self/ns/pid"));
}

TEST_F(Launcher, AnExecOfAMissingProgramFailsAndTheContainerRunsOn) {
  spec_["process"]["args"] = {"sleep", "100"};
  CreatePlanRequest request{.spec = spec_, .id = "test", .bundle = bundle_->path()};
  auto container = TestContainer::Create(request);
  ASSERT_TRUE(container.ok()) << container.status();
  (*container)->Start();
  json process = spec_["process"];
  process["args"] = {"nope"};
  const RunResult result = RunExec(
      **container, {.spec = spec_, .process = process, .id = "test", .bundle = bundle_->path()});
  EXPECT_EQ(result.failure_text, "exec nope: ENOENT (No such file or directory)");
  EXPECT_EQ(kill((*container)->launched().pid, 0), 0);
}

TEST_F(Launcher, AUserNamespaceMapsRootAway) {
  UseUserNamespace();
  // Its root may not read the bundle; the launcher opened what it needs before.
  chmod(bundle_->path().c_str(), 0700);
  spec_["root"]["readonly"] = false;
  spec_["process"]["oomScoreAdj"] = 50;
  std::filesystem::create_directories(bundle_->path() + "/data");
  spec_["mounts"].push_back(BindMount("data", "/mnt", {"bind"}));
  // The mapped root must own the tree to make mount points in it.
  for (const auto& entry : std::filesystem::recursive_directory_iterator(bundle_->rootfs())) {
    ASSERT_EQ(lchown(entry.path().c_str(), 100000, 100000), 0);
  }
  ASSERT_EQ(chown(bundle_->rootfs().c_str(), 100000, 100000), 0);
  EXPECT_EQ(Output("id -u; busybox awk '{print $1, $2, $3}' /proc/self/uid_map; "
                   "echo x > /dev/null && echo null; stat -c '%t %T' /dev/zero; "
                   "cat /proc/self/oom_score_adj; busybox hostname"),
            "0\n0 100000 65536\nnull\n1 5\n50\ntestbox\n");
}

TEST_F(Launcher, AUserNamespaceCanHaveATerminal) {
  UseUserNamespace();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(bundle_->rootfs())) {
    ASSERT_EQ(lchown(entry.path().c_str(), 100000, 100000), 0);
  }
  spec_["process"]["terminal"] = true;
  spec_["process"]["user"] = {{"uid", 1000}, {"gid", 1000}};
  EXPECT_EQ(Output("tty; stat -c %u /dev/pts/0; echo x > /dev/console"),
            "/dev/pts/0\r\n1000\r\nx\r\n");
}

TEST_F(Launcher, AnExecJoinsAUserNamespace) {
  UseUserNamespace();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(bundle_->rootfs())) {
    ASSERT_EQ(lchown(entry.path().c_str(), 100000, 100000), 0);
  }
  spec_["process"]["args"] = {"sleep", "100"};
  CreatePlanRequest request{.spec = spec_, .id = "test", .bundle = bundle_->path()};
  auto container = TestContainer::Create(request);
  ASSERT_TRUE(container.ok()) << container.status();
  (*container)->Start();
  ASSERT_TRUE((*container)->failure().ok())
      << DescribeFailure((*container)->plan().view(), (*container)->failure());
  json process = spec_["process"];
  process["args"] = {"sh", "-c", "id -u; busybox awk '{print $2}' /proc/self/uid_map"};
  const RunResult result = RunExec(
      **container, {.spec = spec_, .process = process, .id = "test", .bundle = bundle_->path()});
  EXPECT_TRUE(result.Exited(0)) << result.failure_text;
  EXPECT_EQ(result.output, "0\n100000\n");
}

TEST_F(Launcher, ATerminalIsTheConsoleAndControlsTheSession) {
  spec_["process"]["terminal"] = true;
  spec_["process"]["consoleSize"] = {{"height", 33}, {"width", 77}};
  const std::string output = Output(
      "tty; busybox stty size; test -t 0 && test -t 2 && echo yes; "
      "stat -c %F /dev/console; echo x > /dev/tty; echo y > /dev/console");
  EXPECT_EQ(output, "/dev/pts/0\r\n33 77\r\nyes\r\ncharacter special file\r\nx\r\ny\r\n");
}

TEST_F(Launcher, AnExecCanHaveATerminalToo) {
  spec_["process"]["args"] = {"sleep", "100"};
  CreatePlanRequest request{.spec = spec_, .id = "test", .bundle = bundle_->path()};
  auto container = TestContainer::Create(request);
  ASSERT_TRUE(container.ok()) << container.status();
  (*container)->Start();
  json process = spec_["process"];
  process["terminal"] = true;
  process["args"] = {"tty"};
  const RunResult result = RunExec(
      **container, {.spec = spec_, .process = process, .id = "test", .bundle = bundle_->path()});
  EXPECT_TRUE(result.Exited(0)) << result.failure_text;
  EXPECT_EQ(result.output, "/dev/pts/0\r\n");
}

TEST_F(Launcher, HooksRunInOrderWithTheState) {
  const std::string log = bundle_->path() + "/log";
  const auto hook = [&log](const std::string& name) {
    return json{
        {{"path", "/bin/sh"},
         {"args",
          {"sh", "-c",
           "echo " + name + " $X $(pwd) >> " + log + "; cat >> " + log + "; echo >> " + log}},
         {"env", {"X=y", "PATH=/bin:/usr/bin"}}}};
  };
  spec_["root"]["readonly"] = false;
  spec_["annotations"] = {{"a", "b"}};
  spec_["hooks"] = {{"prestart", hook("prestart")},
                    {"createRuntime", hook("createRuntime")},
                    {"createContainer", hook("createContainer")},
                    {"poststart", hook("poststart")},
                    {"poststop", hook("poststop")}};
  spec_["hooks"]["startContainer"] = {
      {{"path", "/bin/sh"}, {"args", {"sh", "-c", "cat > /tmp/state; pwd > /tmp/pwd"}}}};
  auto container = Create("true");
  ASSERT_NE(container, nullptr);
  ASSERT_TRUE(container->failure().ok())
      << DescribeFailure(container->plan().view(), container->failure());
  const std::string pid = std::to_string(container->launched().pid);
  const PlanView& plan = container->plan().view();
  EXPECT_TRUE(container->Finish().Exited(0));
  EXPECT_TRUE(RunHooks(plan, Phase::kPoststartHooks, 42).ok());
  EXPECT_TRUE(RunHooks(plan, Phase::kPoststopHooks, 0).ok());
  const auto state = [this](const std::string& status, const std::string& number) {
    return "{\"ociVersion\":\"1.2.0\",\"id\":\"test\",\"status\":\"" + status +
           "\",\"pid\":" + number + ",\"bundle\":\"" + bundle_->path() +
           "\",\"annotations\":{\"a\":\"b\"}}";
  };
  const std::string where = " y " + bundle_->path() + "\n";
  EXPECT_EQ(ReadFile(log), "prestart" + where + state("created", pid) + "\n" + "createRuntime" +
                               where + state("creating", pid) + "\n" + "createContainer" + where +
                               state("creating", "1") + "\n" + "poststart" + where +
                               state("running", "42") + "\n" + "poststop" + where +
                               state("stopped", "0") + "\n");
  EXPECT_EQ(ReadFile(bundle_->rootfs() + "/tmp/state"), state("created", "1"));
  EXPECT_EQ(ReadFile(bundle_->rootfs() + "/tmp/pwd"), "/\n");
}

TEST_F(Launcher, AHookThatFailsOrHangsStopsTheCreate) {
  spec_["hooks"]["createRuntime"] = {{{"path", "/bin/sh"}, {"args", {"sh", "-c", "exit 3"}}}};
  auto failed = Create("true");
  ASSERT_NE(failed, nullptr);
  EXPECT_NE(DescribeFailure(failed->plan().view(), failed->failure())
                .find("error running createRuntime hook /bin/sh: exit code 3"),
            std::string::npos);
  spec_["hooks"] = {
      {"createContainer", {{{"path", "/bin/sleep"}, {"args", {"sleep", "100"}}, {"timeout", 1}}}}};
  auto hung = Create("true");
  ASSERT_NE(hung, nullptr);
  EXPECT_NE(DescribeFailure(hung->plan().view(), hung->failure()).find("took longer than"),
            std::string::npos);
  spec_["hooks"] = {{"startContainer", {{{"path", "/no/such/hook"}}}}};
  const RunResult missing = Shell("true");
  EXPECT_NE(missing.failure_text.find("error running startContainer hook /no/such/hook: ENOENT"),
            std::string::npos)
      << missing.failure_text;
}

TEST_F(Launcher, RootPropagationIsWhatTheSpecSays) {
  const std::pair<const char*, const char*> cases[] = {
      {"shared", " shared:"}, {"private", " - "}, {"unbindable", " unbindable"}};
  for (const auto& [propagation, tag] : cases) {
    spec_["linux"]["rootfsPropagation"] = propagation;
    EXPECT_NE(Output("grep ' / / \\| /rootfs / \\|rootfs / ' /proc/self/mountinfo").find(tag),
              std::string::npos)
        << propagation;
  }
}

TEST_F(Launcher, TheContainersOwnCgroupsAreMounted) {
  std::filesystem::create_directories(bundle_->path() + "/cg/a");
  std::filesystem::create_directories(bundle_->path() + "/cg/b");
  std::ofstream(bundle_->path() + "/cg/a/limit") << "1\n";
  CreatePlanRequest request{.spec = spec_, .id = "test", .bundle = bundle_->path()};
  spec_["process"]["args"] = {"sh", "-c",
                              "cd /sys/fs/cgroup; ls; cat cpu/limit; readlink cpu; "
                              "(echo 2 > cpu/limit) 2>&1; (echo 2 > new) 2>&1; true"};
  request.cgroup_mounts = {{"cpu,cpuacct", bundle_->path() + "/cg/a"},
                           {"pids", bundle_->path() + "/cg/b"}};
  auto container = TestContainer::Create(request);
  ASSERT_TRUE(container.ok()) << container.status();
  const RunResult result = (*container)->Finish();
  EXPECT_TRUE(result.Exited(0)) << result.failure_text;
  EXPECT_EQ(result.output,
            "cpu\ncpu,cpuacct\ncpuacct\npids\n1\ncpu,cpuacct\n"
            "sh: can't create cpu/limit: Read-only file system\n"
            "sh: can't create new: Read-only file system\n");
}

// A cgroup of one hierarchy for the length of a test.
class ScopedCgroup {
 public:
  explicit ScopedCgroup(const std::string& hierarchy)
      : path_("/sys/fs/cgroup/" + hierarchy + "/ocid-launcher-test") {
    mkdir(path_.c_str(), 0755);
  }
  ~ScopedCgroup() { rmdir(path_.c_str()); }

  UniqueFd Open(const std::string& file) const {
    return UniqueFd(open((path_ + file).c_str(), (file.empty() ? O_RDONLY : O_WRONLY) | O_CLOEXEC));
  }
  bool exists() const { return std::filesystem::exists(path_); }

 private:
  std::string path_;
};

TEST_F(Launcher, TheChildEntersItsCgroupsBeforeItsCgroupNamespace) {
  const ScopedCgroup pids("pids");
  const ScopedCgroup unified("unified");
  const UniqueFd procs = pids.Open("/cgroup.procs");
  const UniqueFd directory = unified.Open("");
  if (!procs.valid() || !directory.valid()) GTEST_SKIP() << "needs hybrid cgroups";
  auto& namespaces = spec_["linux"]["namespaces"];
  namespaces.erase(std::find(namespaces.begin(), namespaces.end(), json{{"type", "cgroup"}}));
  LaunchFds fds;
  const int procs_fd = procs.get();
  fds.cgroup_procs = &procs_fd;
  fds.cgroup_procs_count = 1;
  fds.cgroup = directory;
  spec_["process"]["args"] = {"sh", "-c",
                              "grep -E ':(pids)?:' /proc/self/cgroup | busybox cut -d: -f2-"};
  const auto run = [&] {
    auto container =
        TestContainer::Create({.spec = spec_, .id = "test", .bundle = bundle_->path()}, fds);
    EXPECT_TRUE(container.ok()) << container.status();
    return container.ok() ? (*container)->Finish().output : std::string();
  };
  EXPECT_EQ(run(), "pids:/ocid-launcher-test\n:/ocid-launcher-test\n");
  namespaces.push_back({{"type", "cgroup"}});
  EXPECT_EQ(run(), "pids:/\n:/\n");
}

TEST_F(Launcher, HomeComesFromTheContainersPasswdFile) {
  std::ofstream(bundle_->rootfs() + "/etc/passwd")
      << "broken\nroot:x:0:0::/root:/bin/sh\nx:y:1x:1::/no:\nuser:x:1:1::/home/user";
  spec_["process"]["user"]["uid"] = 1;
  EXPECT_EQ(Output("echo $HOME"), "/home/user\n");
  spec_["process"]["user"]["uid"] = 2;
  EXPECT_EQ(Output("echo $HOME"), "/\n");
  spec_["process"]["env"].push_back("HOME=/given");
  EXPECT_EQ(Output("echo $HOME"), "/given\n");
}

TEST_F(Launcher, APasswdFileThatIsAFifoDoesNotStopTheStart) {
  ASSERT_EQ(mkfifo((bundle_->rootfs() + "/etc/passwd").c_str(), 0644), 0);
  EXPECT_EQ(Output("echo $HOME"), "/\n");
}

TEST_F(Launcher, TimeNamespacesHaveTheirOffsets) {
  spec_["linux"]["namespaces"].push_back({{"type", "time"}});
  spec_["linux"]["timeOffsets"] = {{"boottime", {{"secs", 1000000000}, {"nanosecs", 0}}}};
  EXPECT_EQ(Output("busybox awk '{print ($1 > 1000000000)}' /proc/uptime"), "1\n");
  EXPECT_EQ(std::filesystem::read_symlink("/proc/self/ns/time_for_children"),
            std::filesystem::read_symlink("/proc/self/ns/time"));
}

TEST_F(Launcher, ANamespaceCanBeJoinedByPath) {
  for (json& entry : spec_["linux"]["namespaces"]) {
    if (entry["type"] == "network") entry["path"] = "/proc/self/ns/net";
  }
  EXPECT_EQ(Output("readlink /proc/self/ns/net"),
            std::filesystem::read_symlink("/proc/self/ns/net").string() + "\n");
}

TEST_F(Launcher, ANamespacePathOfAnotherTypeFails) {
  for (json& entry : spec_["linux"]["namespaces"]) {
    if (entry["type"] == "network") entry["path"] = "/proc/self/ns/ipc";
  }
  const RunResult result = Shell("true");
  EXPECT_EQ(result.failure.error, EINVAL);
  EXPECT_NE(result.failure_text.find("join network namespace /proc/self/ns/ipc"),
            std::string::npos);
}

}  // namespace
}  // namespace ocid
