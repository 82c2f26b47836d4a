// Every field that specs-go/config.go of runtime-spec v1.3.0 has for Linux does something: with it the
// plan or the cgroup settings are others than without it, or it is refused by its JSON pointer. So no
// field of the specification can be dropped in silence.
#include <nlohmann/json.hpp>

#include "gtest/gtest.h"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/cgroup_settings.h"
#include "runtime/plan/plan_compile.h"

namespace ocid {
namespace {

using nlohmann::json;

// Everything that some field needs beside itself.
json Base() {
  return json::parse(R"({
    "ociVersion": "1.3.0",
    "process": {"cwd": "/", "args": ["sh"], "user": {"uid": 0, "gid": 0}},
    "root": {"path": "rootfs"},
    "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "ipc"},
                             {"type": "network"}]}
  })");
}

HostFacts EverythingHost() {
  HostFacts host;
  host.apparmor = true;
  host.selinux = true;
  host.resctrl = "/sys/fs/resctrl";
  return host;
}

// What comes of a spec: the plan and its warnings, or the error.
std::string Outcome(const json& spec, const HostFacts& host) {
  const auto plan = CompileCreate({.spec = spec, .id = "c1", .bundle = "/b", .host = host});
  if (!plan.ok()) return plan.status().ToString();
  std::string text(plan->bytes());
  for (const std::string& warning : plan->warnings()) text += "\n" + warning;
  return text;
}

bool IsPlan(const json& spec, const HostFacts& host) {
  return CompileCreate({.spec = spec, .id = "c1", .bundle = "/b", .host = host}).ok();
}

json With(json document, const char* patch) {
  if (*patch != '\0') document = document.patch(json::parse(patch));
  return document;
}

struct Field {
  const char* pointer;
  const char* value;
  const char* needs = "";  // a JSON patch for the base, without the field
};

constexpr char kHook[] =
    R"([{"op":"add","path":"/hooks","value":{"prestart":[{"path":"/x"}]}}])";
constexpr char kMount[] =
    R"([{"op":"add","path":"/mounts","value":[{"destination":"/m","type":"tmpfs","source":"a"}]}])";
constexpr char kBind[] =
    R"([{"op":"add","path":"/mounts","value":[{"destination":"/m","source":"a","options":["bind"],
        "uidMappings":[{"containerID":0,"hostID":1,"size":1}],
        "gidMappings":[{"containerID":0,"hostID":1,"size":1}]}]}])";
constexpr char kUser[] =
    R"([{"op":"add","path":"/linux/namespaces/-","value":{"type":"user"}},
        {"op":"add","path":"/linux/uidMappings","value":[{"containerID":0,"hostID":1,"size":1}]},
        {"op":"add","path":"/linux/gidMappings","value":[{"containerID":0,"hostID":1,"size":1}]}])";
constexpr char kTime[] =
    R"([{"op":"add","path":"/linux/namespaces/-","value":{"type":"time"}},
        {"op":"add","path":"/linux/timeOffsets","value":{"monotonic":{"secs":1},"boottime":{"secs":1}}}])";
constexpr char kDevice[] =
    R"([{"op":"add","path":"/linux/devices","value":[{"path":"/dev/x","type":"c","major":1,"minor":3}]}])";
constexpr char kSeccomp[] =
    R"([{"op":"add","path":"/linux/seccomp","value":{"defaultAction":"SCMP_ACT_ALLOW",
        "listenerPath":"/agent","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO"},
        {"names":["rmdir"],"action":"SCMP_ACT_NOTIFY"},
        {"names":["chmod"],"action":"SCMP_ACT_KILL","args":[
          {"index":1,"value":1,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}]}]}}])";
constexpr char kErrnoDefault[] =
    R"([{"op":"add","path":"/linux/seccomp","value":{"defaultAction":"SCMP_ACT_ERRNO",
        "syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ALLOW"}]}}])";
constexpr char kScheduler[] =
    R"([{"op":"add","path":"/process/scheduler","value":{"policy":"SCHED_OTHER"}}])";
constexpr char kTerminal[] = R"([{"op":"add","path":"/process/terminal","value":true}])";
constexpr char kCapabilities[] =
    R"([{"op":"add","path":"/process/capabilities","value":{"bounding":["CAP_KILL"],
        "permitted":["CAP_KILL"],"inheritable":["CAP_KILL"]}}])";
constexpr char kLimit[] =
    R"([{"op":"add","path":"/process/rlimits","value":[{"type":"RLIMIT_CPU","soft":1,"hard":2}]}])";
constexpr char kIo[] =
    R"([{"op":"add","path":"/process/ioPriority","value":{"class":"IOPRIO_CLASS_BE"}}])";
constexpr char kMemoryPolicy[] =
    R"([{"op":"add","path":"/linux/memoryPolicy","value":{"mode":"MPOL_BIND","nodes":"0"}}])";
constexpr char kRdt[] =
    R"([{"op":"add","path":"/linux/intelRdt","value":{"closID":"a","schemata":["MB:0=1"]}}])";
constexpr char kPersonality[] =
    R"([{"op":"add","path":"/linux/personality","value":{"domain":"LINUX"}}])";
constexpr char kDeviceMove[] =
    R"([{"op":"add","path":"/linux/netDevices","value":{"eth0":{}}}])";

const Field kFields[] = {
    {"/root/path", R"("other")"},
    {"/root/readonly", "true"},
    {"/hostname", R"("h")"},
    {"/domainname", R"("d")"},
    {"/mounts", R"([{"destination":"/m","type":"tmpfs"}])"},
    {"/mounts/0/destination", R"("/n")", kMount},
    {"/mounts/0/type", R"("ramfs")", kMount},
    {"/mounts/0/source", R"("b")", kMount},
    {"/mounts/0/options", R"(["ro"])", kMount},
    {"/mounts/0/uidMappings", R"([{"containerID":0,"hostID":2,"size":1}])", kBind},
    {"/mounts/0/gidMappings", R"([{"containerID":0,"hostID":2,"size":1}])", kBind},
    {"/process/terminal", "true"},
    {"/process/consoleSize", R"({"height":1,"width":2})", kTerminal},
    {"/process/consoleSize", R"({"height":2,"width":1})", kTerminal},
    {"/process/user/uid", "1"},
    {"/process/user/gid", "1"},
    {"/process/user/umask", "63"},
    {"/process/user/additionalGids", "[5]"},
    {"/process/args", R"(["other"])"},
    {"/process/env", R"(["A=b"])"},
    {"/process/cwd", R"("/work")"},
    {"/process/capabilities/bounding", R"(["CAP_CHOWN"])", kCapabilities},
    {"/process/capabilities/effective", R"(["CAP_KILL"])", kCapabilities},
    {"/process/capabilities/permitted", "[]", kCapabilities},
    {"/process/capabilities/inheritable", "[]", kCapabilities},
    {"/process/capabilities/ambient", R"(["CAP_KILL"])", kCapabilities},
    {"/process/capabilities/bounding", R"(["CAP_NO_SUCH_THING"])"},
    {"/process/rlimits/0/type", R"("RLIMIT_CORE")", kLimit},
    {"/process/rlimits/0/soft", "0", kLimit},
    {"/process/rlimits/0/hard", "3", kLimit},
    {"/process/noNewPrivileges", "true"},
    {"/process/apparmorProfile", R"("p")"},
    {"/process/selinuxLabel", R"("a:b:c")"},
    {"/process/oomScoreAdj", "0"},
    {"/process/scheduler/policy", R"("SCHED_BATCH")", kScheduler},
    {"/process/scheduler/nice", "3", kScheduler},
    {"/process/scheduler/priority", "3", kScheduler},
    {"/process/scheduler/flags", R"(["SCHED_FLAG_RESET_ON_FORK"])", kScheduler},
    {"/process/scheduler/runtime", "3", kScheduler},
    {"/process/scheduler/deadline", "3", kScheduler},
    {"/process/scheduler/period", "3", kScheduler},
    {"/process/ioPriority/class", R"("IOPRIO_CLASS_IDLE")", kIo},
    {"/process/ioPriority/priority", "3", kIo},
    {"/process/execCPUAffinity", R"({"initial":"0"})"},
    {"/hooks/prestart", R"([{"path":"/y"}])"},
    {"/hooks/createRuntime", R"([{"path":"/y"}])"},
    {"/hooks/createContainer", R"([{"path":"/y"}])"},
    {"/hooks/startContainer", R"([{"path":"/y"}])"},
    {"/hooks/poststart", R"([{"path":"/y"}])"},
    {"/hooks/poststop", R"([{"path":"/y"}])"},
    {"/hooks/prestart/0/path", R"("/y")", kHook},
    {"/hooks/prestart/0/args", R"(["a","b"])", kHook},
    {"/hooks/prestart/0/env", R"(["A=b"])", kHook},
    {"/hooks/prestart/0/timeout", "7", kHook},
    {"/ociVersion", R"("1.2.0")", kHook},
    {"/annotations", R"({"a":"b"})", kHook},
    {"/linux/uidMappings/0/containerID", "5", kUser},
    {"/linux/uidMappings/0/hostID", "5", kUser},
    {"/linux/gidMappings/0/size", "5", kUser},
    {"/linux/sysctl", R"({"net.ipv4.ip_forward":"1"})"},
    {"/linux/namespaces/0", R"({"type":"cgroup"})"},
    {"/linux/namespaces/0", R"({"type":"time"})"},
    {"/linux/namespaces/0/path", R"("/proc/1/ns/pid")"},
    {"/linux/namespaces/5/path", R"("/proc/1/ns/user")", kUser},
    {"/linux/devices", R"([{"path":"/dev/y","type":"p"}])"},
    {"/linux/devices/0/path", R"("/dev/y")", kDevice},
    {"/linux/devices/0/type", R"("b")", kDevice},
    {"/linux/devices/0/major", "2", kDevice},
    {"/linux/devices/0/minor", "4", kDevice},
    {"/linux/devices/0/fileMode", "256", kDevice},
    {"/linux/devices/0/uid", "1", kDevice},
    {"/linux/devices/0/gid", "1", kDevice},
    {"/linux/netDevices", R"({"eth0":{}})"},
    {"/linux/netDevices/eth0/name", R"("e")", kDeviceMove},
    {"/linux/seccomp/defaultAction", R"("SCMP_ACT_LOG")", kSeccomp},
    {"/linux/seccomp/defaultErrnoRet", "5", kErrnoDefault},
    {"/linux/seccomp/architectures", R"(["SCMP_ARCH_AARCH64"])", kSeccomp},
    {"/linux/seccomp/flags", R"(["SECCOMP_FILTER_FLAG_LOG"])", kSeccomp},
    {"/linux/seccomp/listenerPath", R"("/other")", kSeccomp},
    {"/linux/seccomp/listenerMetadata", R"("m")", kSeccomp},
    {"/linux/seccomp/syscalls/0/names", R"(["rename"])", kSeccomp},
    {"/linux/seccomp/syscalls/0/names", R"(["no_such_call"])", kSeccomp},
    {"/linux/seccomp/syscalls/0/action", R"("SCMP_ACT_TRAP")", kSeccomp},
    {"/linux/seccomp/syscalls/0/errnoRet", "9", kSeccomp},
    {"/linux/seccomp/syscalls/2/args/0/index", "0", kSeccomp},
    {"/linux/seccomp/syscalls/2/args/0/value", "3", kSeccomp},
    {"/linux/seccomp/syscalls/2/args/0/valueTwo", "1", kSeccomp},
    {"/linux/seccomp/syscalls/2/args/0/op", R"("SCMP_CMP_NE")", kSeccomp},
    {"/linux/rootfsPropagation", R"("shared")"},
    {"/linux/maskedPaths", R"(["/proc/x"])"},
    {"/linux/readonlyPaths", R"(["/proc/x"])"},
    {"/linux/mountLabel", R"("a:b:c")", kMount},
    {"/linux/intelRdt/closID", R"("b")", kRdt},
    {"/linux/intelRdt/schemata", R"(["MB:0=2"])", kRdt},
    {"/linux/intelRdt/l3CacheSchema", R"("L3:0=f")", kRdt},
    {"/linux/intelRdt/memBwSchema", R"("MB:0=3")", kRdt},
    {"/linux/intelRdt/enableMonitoring", "true", kRdt},
    {"/linux/personality", R"({"domain":"LINUX"})"},
    {"/linux/personality/domain", R"("LINUX32")", kPersonality},
    {"/linux/timeOffsets/monotonic/secs", "7", kTime},
    {"/linux/timeOffsets/boottime/nanosecs", "7", kTime},
    {"/linux/memoryPolicy/mode", R"("MPOL_INTERLEAVE")", kMemoryPolicy},
    {"/linux/memoryPolicy/nodes", R"("0-1")", kMemoryPolicy},
    {"/linux/memoryPolicy/flags", R"(["MPOL_F_STATIC_NODES"])", kMemoryPolicy},
};

TEST(SpecFields, EachHasAnEffectOnThePlan) {
  for (const Field& field : kFields) {
    const json without = With(Base(), field.needs);
    json with = without;
    with[json::json_pointer(field.pointer)] = json::parse(field.value);
    EXPECT_TRUE(IsPlan(with, EverythingHost()))
        << field.pointer << ": " << Outcome(with, EverythingHost());
    EXPECT_TRUE(Outcome(without, EverythingHost()) != Outcome(with, EverythingHost()))
        << field.pointer << " has no effect";
  }
}

TEST(SpecFields, WhatThisHostCannotHonourIsRefusedByItsPointer) {
  const Field fields[] = {
      {"/process/apparmorProfile", R"("p")"},
      {"/process/selinuxLabel", R"("a:b:c")"},
      {"/linux/intelRdt", "{}"},
      {"/linux/personality", R"({"domain":"LINUX","flags":["X"]})"},
      {"/mounts/0/uidMappings", R"([{"containerID":0,"hostID":1,"size":1}])", kMount},
  };
  for (const Field& field : fields) {
    json spec = With(Base(), field.needs);
    spec[json::json_pointer(field.pointer)] = json::parse(field.value);
    const auto plan = CompileCreate({.spec = spec, .id = "c1", .bundle = "/b"});
    ASSERT_FALSE(plan.ok()) << field.pointer;
    const auto violations = GetFieldViolations(plan.status());
    ASSERT_FALSE(violations.empty());
    // Its own pointer, one below, or the object that it does not go with.
    EXPECT_TRUE(violations[0].field.starts_with(field.pointer) ||
                std::string(field.pointer).starts_with(violations[0].field))
        << violations[0].field;
  }
}

TEST(SpecFields, WhatAnExecTakesHasAnEffectOnItsPlan) {
  const json spec = Base();
  const auto compile = [&](const json& process) {
    const auto plan =
        CompileExec({.spec = spec, .process = process, .id = "c1", .bundle = "/b"});
    return plan.ok() ? std::string(plan->bytes()) : plan.status().ToString();
  };
  const json without = spec["process"];
  for (const char* affinity : {R"({"initial":"0"})", R"({"final":"0"})"}) {
    json with = without;
    with["execCPUAffinity"] = json::parse(affinity);
    EXPECT_NE(compile(without), compile(with)) << affinity;
  }
}

// ---- linux.resources

CgroupLayout Unified() {
  CgroupLayout layout;
  layout.unified_mount = "/sys/fs/cgroup";
  layout.unified_controllers = {"cpu", "cpuset", "io", "memory", "pids", "hugetlb", "rdma"};
  return layout;
}

CgroupLayout Legacy() {
  CgroupLayout layout;
  for (const char* controller : {"cpu", "cpuset", "memory", "devices", "freezer", "blkio", "pids",
                                 "hugetlb", "net_cls", "net_prio", "rdma"}) {
    layout.v1.push_back({{controller}, "", std::string("/sys/fs/cgroup/") + controller});
  }
  return layout;
}

std::string Settings(const json& resources, const CgroupLayout& layout) {
  const absl::StatusOr<Resources> parsed = ParseResources(resources);
  if (!parsed.ok()) return parsed.status().ToString();
  const CgroupSettings settings = CompileSettings(*parsed, layout);
  std::string text = settings.device_program ? "device program\n" : "";
  for (const CgroupSetting& setting : settings.settings) {
    text += DescribeCgroupSetting(setting) + "\n";
  }
  for (const UnenforcedLimit& limit : settings.unenforced) text += limit.pointer + limit.why + "\n";
  for (const std::string& note : settings.notes) text += note + "\n";
  // The device program itself is made from the policy and not in the settings.
  if (parsed->devices.has_value()) text += std::to_string(resources["devices"].dump().size());
  return text;
}

TEST(SpecFields, EachLimitIsWrittenOrReportedOnEveryLayoutOfCgroups) {
  const std::pair<const char*, const char*> limits[] = {
      {"/devices", R"([{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":3,"access":"r"}])"},
      {"/memory/limit", "4194304"},
      {"/memory/reservation", "4194304"},
      {"/memory/swap", "8388608"},
      {"/memory/kernel", "4194304"},
      {"/memory/kernelTCP", "4194304"},
      {"/memory/swappiness", "10"},
      {"/memory/disableOOMKiller", "true"},
      {"/cpu/shares", "512"},
      {"/cpu/quota", "20000"},
      {"/cpu/burst", "5000"},
      {"/cpu/period", "50000"},
      {"/cpu/realtimeRuntime", "5000"},
      {"/cpu/realtimePeriod", "500000"},
      {"/cpu/cpus", R"("0")"},
      {"/cpu/mems", R"("0")"},
      {"/cpu/idle", "1"},
      {"/pids/limit", "10"},
      {"/blockIO/weight", "100"},
      {"/blockIO/leafWeight", "100"},
      {"/blockIO/weightDevice", R"([{"major":8,"minor":0,"weight":100}])"},
      {"/blockIO/weightDevice", R"([{"major":8,"minor":0,"leafWeight":100}])"},
      {"/blockIO/throttleReadBpsDevice", R"([{"major":8,"minor":0,"rate":100}])"},
      {"/blockIO/throttleWriteBpsDevice", R"([{"major":8,"minor":0,"rate":100}])"},
      {"/blockIO/throttleReadIOPSDevice", R"([{"major":8,"minor":0,"rate":100}])"},
      {"/blockIO/throttleWriteIOPSDevice", R"([{"major":8,"minor":0,"rate":100}])"},
      {"/hugepageLimits", R"([{"pageSize":"2MB","limit":4194304}])"},
      {"/network/classID", "5"},
      {"/network/priorities", R"([{"name":"lo","priority":3}])"},
      {"/rdma/mlx5_0/hcaHandles", "3"},
      {"/rdma/mlx5_0/hcaObjects", "3"},
      {"/unified", R"({"memory.high":"4194304"})"},
  };
  for (const auto& [pointer, value] : limits) {
    json with = json::object();
    with[json::json_pointer(pointer)] = json::parse(value);
    for (const CgroupLayout& layout : {Unified(), Legacy()}) {
      EXPECT_NE(Settings(json::object(), layout), Settings(with, layout))
          << pointer << (layout.v1.empty() ? " on cgroup2" : " on v1");
    }
  }
}

}  // namespace
}  // namespace ocid
