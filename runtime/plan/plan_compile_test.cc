#include "runtime/plan/plan_compile.h"

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "gtest/gtest.h"
#include "runtime/base/error_details.h"
#include "runtime/plan/mount_options.h"
#include "runtime/plan/process_names.h"

namespace ocid {
namespace {

using nlohmann::json;

json SmallSpec() {
  return json::parse(R"({
    "ociVersion": "1.2.0",
    "process": {
      "cwd": "/work", "args": ["sh", "-c", "echo a b"], "env": ["PATH=/bin", "A=b"],
      "user": {"uid": 1, "gid": 2, "additionalGids": [3]},
      "capabilities": {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"],
                       "effective": ["CAP_KILL"]},
      "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}],
      "noNewPrivileges": true
    },
    "root": {"path": "rootfs", "readonly": true},
    "hostname": "box",
    "mounts": [
      {"destination": "/proc", "type": "proc", "source": "proc"},
      {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "ro", "size=64k"]},
      {"destination": "data//x/", "source": "data", "options": ["rbind", "rro", "rslave"]}
    ],
    "linux": {
      "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "uts"},
                     {"type": "network", "path": "/run/netns/x"}, {"type": "cgroup"}],
      "maskedPaths": ["/proc/keys"], "readonlyPaths": ["/proc/sys"],
      "sysctl": {"net.ipv4.ip_forward": "1"}
    }
  })");
}

absl::StatusOr<LaunchPlan> Compile(const json& spec) {
  return CompileCreate({.spec = spec, .id = "c1", .bundle = "/b"});
}

// The JSON pointer that an error names, or why there is none.
std::string ErrorField(const json& spec, absl::StatusCode code) {
  const auto plan = Compile(spec);
  if (plan.ok()) return "no error";
  if (plan.status().code() != code) return plan.status().ToString();
  const auto violations = GetFieldViolations(plan.status());
  return violations.empty() ? "no violation" : violations.front().field;
}

TEST(CompileCreate, ANetworkNamespaceThatIsMadeAlreadyIsJoined) {
  json spec = SmallSpec();
  spec.erase("hostname");
  spec["linux"]["namespaces"] = {{{"type", "mount"}}, {{"type", "network"}}};
  const auto text = [&spec] {
    const auto plan = CompileCreate(
        {.spec = spec, .id = "c1", .bundle = "/b", .network_namespace = "/run/networks/c1"});
    return plan.ok() ? plan->Text() : plan.status().ToString();
  };
  const std::string join = "join network namespace /run/networks/c1";
  EXPECT_NE(text().find(join), std::string::npos) << text();
  EXPECT_TRUE(text().starts_with("clone mount\n")) << text();
  // Its own must be made in its user namespace, and one by path is what was asked for.
  spec["linux"]["uidMappings"] = spec["linux"]["gidMappings"] = {
      {{"containerID", 0}, {"hostID", 1000}, {"size", 10}}};
  spec["linux"]["namespaces"].push_back({{"type", "user"}});
  EXPECT_EQ(text().find(join), std::string::npos) << text();
  spec["linux"]["namespaces"] = {{{"type", "mount"}}, {{"type", "network"}, {"path", "/other"}}};
  spec["linux"].erase("uidMappings");
  spec["linux"].erase("gidMappings");
  EXPECT_EQ(text().find(join), std::string::npos) << text();
}

TEST(CompileCreate, ASpecBecomesThesePlanSteps) {
  const auto plan = Compile(SmallSpec());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->Text(), R"(clone pid,mount,uts
host, before the clone
   0  join network namespace /run/netns/x  [/linux/namespaces/3]
child: root
   1  new session
   2  unshare cgroup  [/linux/namespaces]
   3  make / rslave
   4  root file system /b/rootfs  [/root/path]
child: setup
   5  mount proc on /proc source=proc  [/mounts/0]
   6  mount tmpfs on /dev +nosuid source=tmpfs,size=64k  [/mounts/1]
   7  open tree /b/data as #0  [/mounts/2]
   8  bind #0 on /data/x below+ro rslave  [/mounts/2]
   9  make char device /dev/null 1:3 mode 666 owner 0:0
  10  make char device /dev/zero 1:5 mode 666 owner 0:0
  11  make char device /dev/full 1:7 mode 666 owner 0:0
  12  make char device /dev/tty 5:0 mode 666 owner 0:0
  13  make char device /dev/random 1:8 mode 666 owner 0:0
  14  make char device /dev/urandom 1:9 mode 666 owner 0:0
  15  make symlink /dev/fd -> /proc/self/fd
  16  make symlink /dev/stdin -> /proc/self/fd/0
  17  make symlink /dev/stdout -> /proc/self/fd/1
  18  make symlink /dev/stderr -> /proc/self/fd/2
  19  make symlink /dev/ptmx -> pts/ptmx
  20  set hostname box  [/hostname]
  21  open a private procfs  [/linux/sysctl]
  22  set sysctl net/ipv4/ip_forward = 1  [/linux/sysctl/net.ipv4.ip_forward]
child: enter
  23  remount /dev +ro  [/mounts/1]
  24  make directory /work  [/process/cwd]
  25  make read-only /proc/sys  [/linux/readonlyPaths/0]
  26  mask /proc/keys  [/linux/maskedPaths/0]
  27  remount / +ro  [/root/readonly]
  28  pivot root
  29  set RLIMIT_NOFILE 10 of 20  [/process/rlimits/0]
gate
child: start
  30  bound capabilities to CAP_KILL  [/process/capabilities/bounding]
  31  become user 1 group 2 with 1 additional groups  [/process/user]
  32  change directory to /work  [/process/cwd]
  33  set umask 022  [/process/user/umask]
  34  reset signals
  35  set capabilities: effective CAP_KILL; permitted CAP_KILL; inheritable none; ambient none  [/process/capabilities]
  36  set no_new_privs  [/process/noNewPrivileges]
  37  exec sh -c 'echo a b'  [/process/args]
)");
}

TEST(CompileCreate, TheSameRequestGivesTheSameBytes) {
  const auto first = Compile(SmallSpec());
  const auto second = Compile(SmallSpec());
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->bytes(), second->bytes());
}

TEST(CompileCreate, AUserNamespaceOpensSourcesBeforeItsRootLosesTheHost) {
  json spec = SmallSpec();
  spec["linux"]["namespaces"].push_back({{"type", "user"}});
  spec["linux"]["uidMappings"] = {{{"containerID", 0}, {"hostID", 1000}, {"size", 10}}};
  spec["linux"]["gidMappings"] = spec["linux"]["uidMappings"];
  spec["process"]["oomScoreAdj"] = -5;
  const auto plan = Compile(spec);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const std::string text = plan->Text();
  const auto at = [&text](const char* words) { return text.find(words); };
  EXPECT_LT(at("host, after the clone"), at("write oom_score_adj"));
  EXPECT_LT(at("open tree /b/data as #1"), at("become root of the user namespace"));
  EXPECT_LT(at("open /dev/null as #2"), at("become root of the user namespace"));
  EXPECT_LT(at("become root of the user namespace"), at("mount proc on /proc"));
  EXPECT_NE(at("bind #2 on /dev/null"), std::string::npos);
}

TEST(CompileCreate, SeccompComesBeforeCapabilitiesGoUnlessNoNewPrivileges) {
  json spec = SmallSpec();
  spec["linux"]["seccomp"] = {
      {"defaultAction", "SCMP_ACT_ALLOW"},
      {"syscalls", {{{"names", {"reboot", "no_such"}}, {"action", "SCMP_ACT_ERRNO"}}}}};
  auto plan = Compile(spec);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_GT(plan->Text().find("load seccomp"), plan->Text().find("set no_new_privs"));
  ASSERT_EQ(plan->warnings().size(), 1u);
  EXPECT_EQ(plan->warnings()[0],
            "/linux/seccomp: system calls unknown here were left out: no_such");
  spec["process"]["noNewPrivileges"] = false;
  plan = Compile(spec);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_LT(plan->Text().find("load seccomp"), plan->Text().find("set capabilities"));
}

TEST(CompileCreate, CapabilitiesThatCannotBeGrantedAreWarnedAbout) {
  json spec = SmallSpec();
  spec["process"]["capabilities"]["bounding"] = {"CAP_KILL", "CAP_SYS_RESOURCE", "CAP_NEW"};
  spec["process"]["capabilities"]["ambient"] = {"CAP_KILL"};
  CreatePlanRequest request{.spec = spec, .id = "c1", .bundle = "/b"};
  request.host.capability_bounds = ~(uint64_t{1} << 24);
  const auto plan = CompileCreate(request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->warnings(),
            (std::vector<std::string>{
                "/process/capabilities/bounding/1: this host cannot grant CAP_SYS_RESOURCE",
                "/process/capabilities/bounding/2: unknown capability CAP_NEW",
                "/process/capabilities/ambient: not grantable with the other sets: CAP_KILL"}));
}

TEST(CompileCreate, WhatIsWrongIsNamedByItsPointer) {
  const struct {
    const char* pointer;
    json value;
    const char* field;
  } cases[] = {
      {"/process/cwd", "relative", "/process/cwd"},
      {"/process/args", json::array(), "/process/args"},
      {"/process/args", {"a", 1}, "/process/args/1"},
      {"/process/env", {std::string("A=\0b", 4)}, "/process/env/0"},
      {"/process/user/uid", 4294967296, "/process/user/uid"},
      {"/process/user/uid", 4294967295, "/process/user/uid"},
      {"/process/user/uid", -1, "/process/user/uid"},
      {"/process/rlimits", {{{"type", "RLIMIT_X"}}}, "/process/rlimits/0/type"},
      {"/process/rlimits/0/soft", 21, "/process/rlimits/0/soft"},
      {"/process/oomScoreAdj", 1001, "/process/oomScoreAdj"},
      {"/process/ioPriority", {{"class", "X"}}, "/process/ioPriority/class"},
      {"/process/scheduler", {{"policy", "X"}}, "/process/scheduler/policy"},
      {"/root/path", "", "/root/path"},
      {"/mounts/0/destination", "/", "/mounts/0/destination"},
      {"/mounts/0/type", "tmpfs", "/mounts/0/destination"},
      {"/mounts/2/destination", "/proc/sys", "/mounts/2/destination"},
      {"/linux/namespaces/0/type", "mount", "/linux/namespaces/1/type"},
      {"/linux/namespaces/0/type", "x", "/linux/namespaces/0/type"},
      {"/linux/namespaces/3/path", "x", "/linux/namespaces/3/path"},
      {"/linux/uidMappings", {{{"size", 1}}}, "/linux/uidMappings"},
      {"/linux/timeOffsets", {{"boottime", {{"secs", 1}}}}, "/linux/timeOffsets"},
      {"/linux/rootfsPropagation", "x", "/linux/rootfsPropagation"},
      {"/linux/maskedPaths/0", "x", "/linux/maskedPaths/0"},
      {"/linux/sysctl", {{"kernel.core_pattern", "x"}}, "/linux/sysctl/kernel.core_pattern"},
      {"/linux/sysctl",
       {{"net/../kernel/core_pattern", "x"}},
       "/linux/sysctl/net~1..~1kernel~1core_pattern"},
      {"/linux/sysctl", {{"net.x", "1\n2"}}, "/linux/sysctl/net.x"},
      {"/linux/sysctl", {{"kernel.sem", "1"}}, "/linux/sysctl/kernel.sem"},
      {"/linux/devices", {{{"path", "/dev/x"}, {"type", "c"}}}, "/linux/devices/0/major"},
      {"/linux/personality", {{"domain", "X"}}, "/linux/personality/domain"},
      {"/hooks", {{"prestart", {{{"path", "x"}}}}}, "/hooks/prestart/0/path"},
      {"/hooks", {{"poststop", {{{"path", "/x"}, {"timeout", 0}}}}}, "/hooks/poststop/0/timeout"},
  };
  for (const auto& item : cases) {
    json spec = SmallSpec();
    spec[json::json_pointer(item.pointer)] = item.value;
    EXPECT_EQ(ErrorField(spec, absl::StatusCode::kInvalidArgument), item.field)
        << item.pointer << " = " << item.value;
  }
}

TEST(CompileCreate, ASharedMountNamespaceIsEnteredByChrootAndKeepsItsPropagation) {
  json without = SmallSpec();
  without["linux"]["namespaces"] = {{{"type", "pid"}}, {{"type", "uts"}}, {{"type", "network"}}};
  json joined = SmallSpec();
  joined["linux"]["namespaces"][1]["path"] = "/proc/1/ns/mnt";
  for (const json& spec : {without, joined}) {
    const auto plan = CompileCreate({.spec = spec, .id = "c1", .bundle = "/b"});
    ASSERT_TRUE(plan.ok()) << plan.status();
    const std::string text = plan->Text();
    EXPECT_NE(text.find("change root"), std::string::npos) << text;
    EXPECT_EQ(text.find("pivot"), std::string::npos) << text;
    EXPECT_EQ(text.find("make / "), std::string::npos) << text;
  }
}

TEST(CompileCreate, OptionsOfAFileSystemOnABindMountAreSkippedAndRecorded) {
  json spec = SmallSpec();
  spec["mounts"][2]["options"] = {"bind", "size=1"};
  const auto plan = CompileCreate({.spec = spec, .id = "c1", .bundle = "/b"});
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->warnings().size(), 1u);
  EXPECT_NE(plan->warnings()[0].find("/mounts/2/options"), std::string::npos);
}

TEST(CompileCreate, UnknownMembersAreIgnored) {
  json spec = SmallSpec();
  spec["x-vendor"] = {{"a", 1}};
  spec["process"]["futureField"] = 1;
  EXPECT_TRUE(Compile(spec).ok());
}

TEST(CompileExec, JoinsInOneStepEachAndRunsTheProcess) {
  json spec = SmallSpec();
  json process = spec["process"];
  process["terminal"] = true;
  process["consoleSize"] = {{"height", 24}, {"width", 80}};
  process["oomScoreAdj"] = 7;
  const auto plan = CompileExec({.spec = spec, .process = process, .id = "c1", .bundle = "/b"});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->Text().substr(0, plan->Text().find("child: start")), R"(clone 
child: root
   0  write oom_score_adj  [/process/oomScoreAdj]
   1  join the container's pid,mount,network,uts,cgroup
   2  go on in a clone of the pid namespace
   3  new session
child: setup
   4  make a console of 24x80 for user 1  [/process/terminal]
child: enter
   5  set RLIMIT_NOFILE 10 of 20  [/process/rlimits/0]
)");
  EXPECT_TRUE(plan->view().has(kPlanJoins));
  EXPECT_TRUE(plan->view().has(kPlanClonesAgain));
  EXPECT_TRUE(plan->view().has(kPlanHasConsole));
  EXPECT_FALSE(plan->view().has(kPlanHasGate));
}

TEST(DescribeFailure, SaysStepPartAndErrno) {
  const auto plan = Compile(SmallSpec());
  ASSERT_TRUE(plan.ok());
  const auto describe = [&plan](const FailureRecord& failure) {
    return DescribeFailure(plan->view(), failure);
  };
  EXPECT_EQ(describe({}), "");
  EXPECT_EQ(describe(MakeFailure(5, EPERM)),
            "step 5: mount proc on /proc: EPERM (Operation not permitted)");
  EXPECT_EQ(describe(MakeFailure(6, EINVAL, FailureDetail::kParameter, 1)),
            "step 6: mount tmpfs on /dev +nosuid: option size=64k: EINVAL (Invalid argument)");
  EXPECT_EQ(describe(MakeFailure(37, ENOENT)), "exec sh: ENOENT (No such file or directory)");
  EXPECT_EQ(describe(MakeFailure(kFailedClone, EAGAIN)),
            "clone: EAGAIN (Resource temporarily unavailable)");
  EXPECT_EQ(describe(MakeFailure(kFailedSetup, ECHILD, FailureDetail::kSignal, 9)),
            "the container's process: killed by SIGKILL");
  EXPECT_EQ(FailureSource(plan->view(), MakeFailure(5, EPERM)), "/mounts/0");
  EXPECT_EQ(describe(MakeFailure(12345, EIO)), "the container's process: EIO (Input/output error)");
}

TEST(LaunchPlan, DamagedBytesAreRefusedAndNeverReadPastTheirEnd) {
  const auto plan = Compile(SmallSpec());
  ASSERT_TRUE(plan.ok());
  const std::string bytes(plan->bytes());
  EXPECT_TRUE(LaunchPlan::Parse(bytes).ok());
  for (size_t size = 0; size < bytes.size(); size += 13) {
    EXPECT_FALSE(LaunchPlan::Parse(bytes.substr(0, size)).ok()) << size;
  }
  // Any byte of header or steps may lie; what parses must still be safe to read.
  const size_t steps_end = sizeof(PlanHeader) + plan->view().step_count() * sizeof(PlanStep);
  for (size_t at = 0; at < steps_end; ++at) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0xff);
    const auto parsed = LaunchPlan::Parse(damaged);
    if (parsed.ok()) {
      EXPECT_FALSE(parsed->Text().empty());
    }
  }
}

TEST(MountOptions, TheLastWordCounts) {
  absl::Status error;
  const json list = {"ro", "rw", "nosuid", "noatime", "relatime", "rnodev", "a=b", "flag"};
  const MountOptions options = ReadMountOptions(JsonCursor(list, "", &error));
  EXPECT_TRUE(error.ok());
  EXPECT_EQ(options.own.set, 0x2u);            // nosuid
  EXPECT_EQ(options.own.clear, 0x1u | 0x70u);  // ro, and whatever atime setting there was
  EXPECT_EQ(options.below.set, 0x4u);
  EXPECT_EQ(options.parameters,
            (std::vector<std::pair<std::string, std::string>>{{"a", "=b"}, {"flag", ""}}));
}

TEST(MountOptions, KnownNamesAreSortedForTheBinarySearch) {
  const std::vector<std::string> names = KnownMountOptions();
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
}

TEST(ParseNumberList, TakesRangesAndRefusesNonsense) {
  EXPECT_EQ(ParseNumberList("0-2,5", 63), std::vector<uint64_t>{0x27});
  EXPECT_EQ(ParseNumberList("64", 127), (std::vector<uint64_t>{0, 1}));
  for (const char* text : {"", "a", "1-", "3-1", "1,,2", "64", "1 "}) {
    EXPECT_EQ(ParseNumberList(text, 63), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace ocid
