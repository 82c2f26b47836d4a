#include "daemon/cdi/cdi_inject.h"

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "gtest/gtest.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

absl::StatusOr<HostNode> FakeNode(const std::string& path) {
  static const auto* const kNodes = new std::map<std::string, HostNode>{
      {"/dev/card0", {.type = 'c', .major = 226, .minor = 0, .permissions = 0660}},
      {"/dev/disk", {.type = 'b', .major = 8, .minor = 1, .permissions = 0600}},
      {"/dev/pipe", {.type = 'p', .major = 0, .minor = 0, .permissions = 0622}},
  };
  const auto it = kNodes->find(path);
  if (it == kNodes->end()) return absl::NotFoundError(path + ": No such file or directory");
  return it->second;
}

struct Case {
  const char* name;
  const char* before;
  const char* edits;  // YAML
  const char* after;  // null: an error
};

const Case kCases[] = {
    {"env replaces in place and appends", R"({"process":{"env":["A=1","B=2"]}})",
     "{env: [A=9, C=3]}", R"({"process":{"env":["A=9","B=2","C=3"]}})"},
    {"device filled from the host", R"({})", "{deviceNodes: [{path: /dev/card0}]}",
     R"({"linux":{"devices":[{"path":"/dev/card0","type":"c","major":226,"minor":0,"fileMode":432}],
         "resources":{"devices":[{"allow":true,"type":"c","major":226,"minor":0,"access":"rwm"}]}}})"},
    {"device under another path, with permissions", R"({})",
     "{deviceNodes: [{path: /dev/x, hostPath: /dev/disk, permissions: r, uid: 5}]}",
     R"({"linux":{"devices":[{"path":"/dev/x","type":"b","major":8,"minor":1,"fileMode":384,"uid":5}],
         "resources":{"devices":[{"allow":true,"type":"b","major":8,"minor":1,"access":"r"}]}}})"},
    {"permissions none", R"({})", "{deviceNodes: [{path: /dev/card0, permissions: none}]}",
     R"({"linux":{"devices":[{"path":"/dev/card0","type":"c","major":226,"minor":0,"fileMode":432}],
         "resources":{"devices":[{"allow":true,"type":"c","major":226,"minor":0,"access":""}]}}})"},
    {"the process's user owns its devices", R"({"process":{"user":{"uid":1000,"gid":0}}})",
     "{deviceNodes: [{path: /dev/card0}]}",
     R"({"process":{"user":{"uid":1000,"gid":0}},
         "linux":{"devices":[{"path":"/dev/card0","type":"c","major":226,"minor":0,"fileMode":432,
                              "uid":1000}],
         "resources":{"devices":[{"allow":true,"type":"c","major":226,"minor":0,"access":"rwm"}]}}})"},
    {"a fully specified device needs no host node", R"({})",
     "{deviceNodes: [{path: /dev/gone, type: c, major: 7, minor: 8}]}",
     R"({"linux":{"devices":[{"path":"/dev/gone","type":"c","major":7,"minor":8}],
         "resources":{"devices":[{"allow":true,"type":"c","major":7,"minor":8,"access":"rwm"}]}}})"},
    {"a fully specified device is taken at its word, whatever the host has", R"({})",
     "{deviceNodes: [{path: /dev/card0, type: b, major: 7, minor: 8}]}",
     R"({"linux":{"devices":[{"path":"/dev/card0","type":"b","major":7,"minor":8,"fileMode":432}],
         "resources":{"devices":[{"allow":true,"type":"b","major":7,"minor":8,"access":"rwm"}]}}})"},
    {"of two mounts of one destination the later one", R"({"mounts":[{"destination":"/b"}]})",
     "{mounts: [{hostPath: /h, containerPath: /a}, {hostPath: /i, containerPath: /a}]}",
     R"({"mounts":[{"destination":"/b"},{"destination":"/a","source":"/i"}]})"},
    {"a pipe has no rule", R"({})", "{deviceNodes: [{path: /dev/pipe, type: p}]}",
     R"({"linux":{"devices":[{"path":"/dev/pipe","type":"p","major":0,"minor":0,"fileMode":402}]}})"},
    {"a missing device", R"({})", "{deviceNodes: [{path: /dev/gone}]}", nullptr},
    {"another type than declared", R"({})", "{deviceNodes: [{path: /dev/disk, type: c}]}", nullptr},
    {"a device of the same path is replaced", R"({"linux":{"devices":[{"path":"/dev/p","type":"c"},
         {"path":"/dev/q","type":"c"}]}})",
     "{deviceNodes: [{path: /dev/p, type: p}]}",
     R"({"linux":{"devices":[{"path":"/dev/q","type":"c"},
         {"path":"/dev/p","type":"p","major":0,"minor":0}]}})"},
    {"mounts are sorted by depth and keep their order else",
     R"({"mounts":[{"destination":"/a/b/c"},{"destination":"/z"},{"destination":"/y"}]})",
     "{mounts: [{hostPath: /h, containerPath: /x/y, options: [ro, rbind]}]}",
     R"({"mounts":[{"destination":"/z"},{"destination":"/y"},
         {"destination":"/x/y","source":"/h","options":["ro","rbind"]},{"destination":"/a/b/c"}]})"},
    {"a mount of the same destination is replaced",
     R"({"mounts":[{"destination":"/a","type":"tmpfs"},
         {"destination":"/b"}]})",
     "{mounts: [{hostPath: /h, containerPath: /a, type: bind}]}",
     R"({"mounts":[{"destination":"/b"},{"destination":"/a","source":"/h","type":"bind"}]})"},
    {"bind mounts are id-mapped in a user namespace",
     R"({"linux":{"namespaces":[{"type":"user"}]}})",
     "{mounts: [{hostPath: /h, containerPath: /a, options: [rbind]}, "
     "{hostPath: /h, containerPath: /b, type: bind}, {hostPath: /h, containerPath: /c, type: "
     "tmpfs}, "
     "{hostPath: /h, containerPath: /d, options: [bind, idmap]}]}",
     R"({"linux":{"namespaces":[{"type":"user"}]},"mounts":[
         {"destination":"/a","source":"/h","options":["rbind","ridmap"]},
         {"destination":"/b","source":"/h","type":"bind","options":["idmap"]},
         {"destination":"/c","source":"/h","type":"tmpfs"},
         {"destination":"/d","source":"/h","options":["bind","idmap"]}]})"},
    {"hooks are appended", R"({"hooks":{"poststop":[{"path":"/old"}]}})",
     "{hooks: [{hookName: poststop, path: /new, args: [n], timeout: 2}]}",
     R"({"hooks":{"poststop":[{"path":"/old"},{"path":"/new","args":["n"],"timeout":2}]}})"},
    {"Intel RDT is replaced as a whole", R"({"linux":{"intelRdt":{"closID":"a","x":1}}})",
     "{intelRdt: {closID: b, memBwSchema: m}}",
     R"({"linux":{"intelRdt":{"closID":"b","memBwSchema":"m"}}})"},
    {"network devices", R"({})",
     "{netDevices: [{hostInterfaceName: eth1, name: a}, {hostInterfaceName: eth2, name: b}]}",
     R"({"linux":{"netDevices":{"eth1":{"name":"a"},"eth2":{"name":"b"}}}})"},
    {"groups once, and never root's", R"({"process":{"user":{"additionalGids":[5]}}})",
     "{additionalGids: [0, 5, 6, 6]}", R"({"process":{"user":{"additionalGids":[5,6]}}})"},
    {"a document of the wrong shape", R"({"mounts":"none"})",
     "{mounts: [{hostPath: /h, containerPath: /a}]}", nullptr},
};

TEST(ApplyCdiEdits, DoesWhatTheReferenceDoes) {
  for (const Case& test : kCases) {
    const auto spec = ParseCdiSpec(std::string("cdiVersion: 1.1.0\nkind: v/c\ndevices:\n- name: d\n"
                                               "  containerEdits: ") +
                                   test.edits);
    ASSERT_TRUE(spec.ok()) << test.name << ": " << spec.status();
    Json document = Json::parse(test.before);
    const absl::Status status =
        ApplyCdiEdits(spec->devices[0].edits, document, FakeNode).status();
    EXPECT_EQ(status.ok(), test.after != nullptr) << test.name << ": " << status;
    if (test.after != nullptr) {
      EXPECT_EQ(CanonicalJson(document), CanonicalJson(Json::parse(test.after))) << test.name;
    }
  }
}

TEST(StatHostNode, ReadsARealDevice) {
  const auto node = StatHostNode("/dev/null");
  ASSERT_TRUE(node.ok());
  EXPECT_EQ(node->type, 'c');
  EXPECT_EQ(node->major, 1);
  EXPECT_EQ(node->minor, 3);
}

TEST(StatHostNode, FollowsNoSymlinkAndTakesNoFile) {
  EXPECT_EQ(StatHostNode("/dev/stdin").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(StatHostNode("/etc").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(StatHostNode("/nonexistent").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace ocid
