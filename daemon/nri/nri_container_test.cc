#include "daemon/nri/nri_container.h"

#include <nlohmann/json.hpp>

#include "daemon/nri/nri_testing.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

PluginSubject Subject() {
  PluginSubject subject;
  subject.container_id = "c1";
  subject.container_name = "web";
  subject.labels = {{"app", "shop"}};
  return subject;
}

TEST(NriContainer, EveryPartOfTheSpecIsShown) {
  const OciSpec spec(Json::parse(R"({
    "annotations":{"a":"1"},"process":{"args":["sh","-c"],"env":["A=1","B"],"oomScoreAdj":-5,
      "ioPriority":{"class":"IOPRIO_CLASS_BE","priority":3},
      "scheduler":{"policy":"SCHED_FIFO","priority":2,"flags":["SCHED_FLAG_RECLAIM"]},
      "rlimits":[{"type":"RLIMIT_NOFILE","hard":18446744073709551615,"soft":5}],
      "user":{"uid":7,"gid":8,"additionalGids":[9]}},
    "mounts":[{"destination":"/d","type":"bind","source":"/s","options":["ro"]}],
    "hooks":{"createRuntime":[{"path":"/h","args":["h","x"],"env":["K=V"],"timeout":3}]},
    "linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/run/ns"}],
      "devices":[{"path":"/dev/x","type":"c","major":1,"minor":2,"fileMode":438,"uid":0}],
      "cgroupsPath":"/ocid/c1","sysctl":{"net.x":"1"},"netDevices":{"eth1":{"name":"eth0"}},
      "intelRdt":{"closID":"x","schemata":["L3:0=f"],"enableMonitoring":true},
      "seccomp":{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"syscalls":[
        {"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":2,"op":"SCMP_CMP_EQ"}]}]},
      "resources":{"memory":{"limit":100,"swappiness":0},"cpu":{"shares":2,"cpus":"0-1"},
        "pids":{"limit":-1},"hugepageLimits":[{"pageSize":"2MB","limit":1}],
        "unified":{"memory.high":"1"},"devices":[{"allow":true,"type":"c","major":1,"access":"r"}]}}})"));
  const nri::Container expected = FromJson<nri::Container>(R"({
    "id":"c1","pod_sandbox_id":"c1","name":"web","labels":{"app":"shop"},"annotations":{"a":"1"},
    "args":["sh","-c"],"env":["A=1","B"],
    "mounts":[{"destination":"/d","type":"bind","source":"/s","options":["ro"]}],
    "hooks":{"create_runtime":[{"path":"/h","args":["h","x"],"env":["K=V"],"timeout":{"value":3}}]},
    "rlimits":[{"type":"RLIMIT_NOFILE","hard":"18446744073709551615","soft":5}],
    "user":{"uid":7,"gid":8,"additional_gids":[9]},
    "cdi_devices":[{"name":"v.com/c=0"}],
    "linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/run/ns"}],
      "devices":[{"path":"/dev/x","type":"c","major":1,"minor":2,"file_mode":{"value":438},"uid":{"value":0}}],
      "cgroups_path":"/ocid/c1","oom_score_adj":{"value":-5},
      "io_priority":{"class":"NRI_IOPRIO_CLASS_BE","priority":3},
      "scheduler":{"policy":"NRI_SCHED_FIFO","priority":2,"flags":["NRI_SCHED_FLAG_RECLAIM"]},
      "sysctl":{"net.x":"1"},"net_devices":{"eth1":{"name":"eth0"}},
      "rdt":{"clos_id":{"value":"x"},"schemata":{"value":["L3:0=f"]},"enable_monitoring":{"value":true}},
      "seccomp_profile":{"profile_type":"LOCALHOST"},
      "seccomp_policy":{"default_action":"SCMP_ACT_ERRNO","default_errno":{"value":1},"syscalls":[
        {"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":2,"op":"SCMP_CMP_EQ"}]}]},
      "resources":{"memory":{"limit":{"value":100},"swappiness":{"value":0}},
        "cpu":{"shares":{"value":2},"cpus":"0-1"},"pids":{"limit":-1},
        "hugepage_limits":[{"page_size":"2MB","limit":1}],"unified":{"memory.high":"1"},
        "devices":[{"allow":true,"type":"c","major":{"value":1},"access":"r"}]}}})");
  const nri::Container seen = DescribeContainer(spec, Subject(), {"v.com/c=0"});
  std::string difference;
  google::protobuf::util::MessageDifferencer differ;
  differ.ReportDifferencesToString(&difference);
  EXPECT_TRUE(differ.Compare(expected, seen)) << difference;
}

// Plugins dereference these without a look.
TEST(NriContainer, PartsThatPluginsIndexIntoAreThereInAnEmptySpec) {
  const nri::Container container = DescribeContainer(OciSpec(), Subject());
  EXPECT_TRUE(container.has_hooks());
  EXPECT_TRUE(container.has_linux());
  EXPECT_TRUE(container.linux().has_resources());
  EXPECT_TRUE(container.linux().resources().has_memory());
  EXPECT_TRUE(container.linux().resources().has_cpu());
  EXPECT_FALSE(container.linux().has_seccomp_profile());
  EXPECT_EQ(container.state(), nri::CONTAINER_UNKNOWN);
  EXPECT_TRUE(DescribePod(OciSpec(), Subject()).has_linux());
}

TEST(NriContainer, MembersOfAnotherTypeAreLeftOut) {
  const OciSpec spec(Json::parse(R"({"annotations":[1],"process":{"args":{"x":1},"env":[1,"A=1"],
    "oomScoreAdj":"x","rlimits":[7],"user":[]},"mounts":[{"destination":7,"options":"x"}],
    "hooks":7,"linux":{"namespaces":"x","devices":[{"major":-1.5,"fileMode":-1}],
    "resources":{"memory":{"limit":18446744073709551615}},"intelRdt":7,"sysctl":{"a":1}}})"));
  const nri::Container container = DescribeContainer(spec, Subject());
  EXPECT_EQ(container.args_size(), 0);
  ASSERT_EQ(container.env_size(), 1);
  EXPECT_FALSE(container.linux().resources().memory().has_limit());
  EXPECT_FALSE(container.linux().devices(0).has_file_mode());
  EXPECT_EQ(container.linux().sysctl_size(), 0);
}

TEST(NriPod, ItsAnnotationsAreTheContainers) {
  const OciSpec spec(Json::parse(R"({"annotations":{"devices.noderesource.dev/container.web":"x"},
    "linux":{"cgroupsPath":"/ocid/c1","namespaces":[{"type":"network"},{"type":"ipc"}]}})"));
  const nri::PodSandbox pod = DescribePod(spec, Subject());
  EXPECT_EQ(pod.id(), "c1");
  EXPECT_EQ(pod.uid(), "c1");
  EXPECT_EQ(pod.name(), "web");
  EXPECT_EQ(pod.namespace_(), "ocid");
  EXPECT_EQ(pod.annotations().at("devices.noderesource.dev/container.web"), "x");
  EXPECT_EQ(pod.labels().at("app"), "shop");
  EXPECT_EQ(pod.linux().cgroup_parent(), "/ocid");
  ASSERT_EQ(pod.linux().namespaces_size(),
            1);  // a network namespace without a path is none to join
  EXPECT_EQ(pod.linux().namespaces(0).type(), "ipc");
}

TEST(NriPod, ItsNetworkIsWhereTheSubjectSaysUnlessAUserNamespaceOwnsIt) {
  PluginSubject subject = Subject();
  subject.network_path = "/run/networks/c1";
  const auto networks = [&subject](const char* namespaces) {
    Json document;
    document["linux"]["namespaces"] = Json::parse(namespaces);
    const OciSpec spec(std::move(document));
    const nri::PodSandbox pod = DescribePod(spec, subject);
    std::string paths;
    for (const nri::LinuxNamespace& entry : pod.linux().namespaces()) {
      if (entry.type() == "network") paths += entry.path() + ";";
    }
    return paths;
  };
  EXPECT_EQ(networks(R"([{"type":"network"}])"), "/run/networks/c1;");
  EXPECT_EQ(networks(R"([{"type":"network","path":"/run/ns"}])"), "/run/ns;");
  EXPECT_EQ(networks(R"([{"type":"network"},{"type":"user"}])"), "");
  EXPECT_EQ(networks(R"([{"type":"ipc"}])"), "");
}

}  // namespace
}  // namespace ocid
