#include "runtime/cgroup/cgroup_owner.h"

#include "gtest/gtest.h"

namespace ocid {
namespace {

using nlohmann::json;

json Spec() {
  return json::parse(R"({
      "process": {"user": {"uid": 7}},
      "mounts": [{"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["nosuid"]}],
      "linux": {"namespaces": [{"type": "user"}, {"type": "cgroup"}],
                "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1},
                                {"containerID": 1, "hostID": 100000, "size": 65536}]}})");
}

TEST(CgroupOwner, IsTheHostsIdOfTheContainersUser) {
  EXPECT_EQ(CgroupOwner(Spec()), 100006u);
  json root = Spec();
  root["process"]["user"]["uid"] = 0;
  EXPECT_EQ(CgroupOwner(root), 1000u);
  json unmapped = Spec();
  unmapped["process"]["user"]["uid"] = 70000;
  EXPECT_EQ(CgroupOwner(unmapped), std::nullopt);
}

TEST(CgroupOwner, WithoutAUserNamespaceIsTheUserUnlessRoot) {
  json spec = Spec();
  spec["linux"]["namespaces"] = json::parse(R"([{"type": "cgroup"}])");
  EXPECT_EQ(CgroupOwner(spec), 7u);
  spec["process"]["user"]["uid"] = 0;
  EXPECT_EQ(CgroupOwner(spec), std::nullopt);
}

TEST(CgroupOwner, StaysWhereTheContainerIsNotMeantToMakeCgroups) {
  json read_only = Spec();
  read_only["mounts"][0]["options"].push_back("ro");
  EXPECT_EQ(CgroupOwner(read_only), std::nullopt);
  json hosts = Spec();
  hosts["linux"]["namespaces"][1]["path"] = "/proc/1/ns/cgroup";
  EXPECT_EQ(CgroupOwner(hosts), std::nullopt);
  EXPECT_EQ(CgroupOwner(json::object()), std::nullopt);
}

}  // namespace
}  // namespace ocid
