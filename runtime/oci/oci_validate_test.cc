#include "runtime/oci/oci_validate.h"

#include <nlohmann/json.hpp>
#include <string>

#include "gtest/gtest.h"
#include "runtime/base/error_details.h"
#include "runtime/oci/oci_upgrade.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

OciSpec Minimal() {
  return OciSpec::Parse(R"({"ociVersion":"1.2.0","root":{"path":"rootfs"},
    "process":{"cwd":"/","args":["sh"],"user":{"uid":0,"gid":0}}})")
      .value();
}

// The pointers of what is wrong after a JSON merge patch of the minimal spec.
std::vector<std::string> Wrong(const char* patch) {
  OciSpec spec = Minimal();
  spec.json().merge_patch(Json::parse(patch));
  std::vector<std::string> pointers;
  for (const Violation& violation : Validate(spec)) pointers.push_back(violation.pointer);
  return pointers;
}

TEST(Validate, AcceptsAMinimalSpecAndUnknownMembers) {
  EXPECT_EQ(Wrong(R"({"x":{"y":[null]},"process":{"new":1},"linux":{"future":true}})"),
            std::vector<std::string>());
}

TEST(Validate, NamesEveryViolationByItsPointer) {
  EXPECT_EQ(Wrong(R"({"ociVersion":5,"process":{"cwd":"x","args":[],"terminal":"yes"}})"),
            (std::vector<std::string>{"/ociVersion", "/process/args", "/process/cwd",
                                      "/process/terminal"}));
}

struct Case {
  const char* patch;
  const char* pointer;  // null: valid
};

const Case kCases[] = {
    {R"({"root":null})", ""},
    {R"({"root":{"path":""}})", "/root/path"},
    {R"({"ociVersion":"2.0.0"})", "/ociVersion"},
    {R"({"ociVersion":"1.0"})", "/ociVersion"},
    {R"({"ociVersion":"1.0.2-dev"})", nullptr},
    {R"({"hostname":"h"})", "/hostname"},
    {R"({"hostname":""})", nullptr},
    {R"({"hostname":"h","linux":{"namespaces":[{"type":"uts"}]}})", nullptr},
    {R"({"linux":{"namespaces":[{"type":"net"}]}})", "/linux/namespaces/0/type"},
    {R"({"linux":{"namespaces":[{"type":"pid"},{"type":"pid"}]}})", "/linux/namespaces/1/type"},
    {R"({"linux":{"namespaces":[{"type":"pid","path":"x"}]}})", "/linux/namespaces/0/path"},
    {R"({"linux":{"uidMappings":[{"containerID":0,"hostID":1,"size":1}]}})", "/linux/uidMappings"},
    {R"({"linux":{"timeOffsets":{"boottime":{"secs":1}}}})", "/linux/timeOffsets"},
    {R"({"process":{"rlimits":[{"type":"RLIMIT_X","soft":1,"hard":1}]}})",
     "/process/rlimits/0/type"},
    {R"({"process":{"rlimits":[{"type":"RLIMIT_CPU","soft":1,"hard":1},
                               {"type":"RLIMIT_CPU","soft":1,"hard":1}]}})",
     "/process/rlimits/1/type"},
    {R"({"process":{"rlimits":[{"type":"RLIMIT_CPU","soft":2,"hard":1}]}})",
     "/process/rlimits/0/soft"},
    {R"({"process":{"rlimits":[{"type":"RLIMIT_CPU","soft":-1,"hard":1}]}})",
     "/process/rlimits/0/soft"},
    {R"({"process":{"rlimits":[{"type":"RLIMIT_CPU","soft":1,"hard":18446744073709551615}]}})",
     nullptr},
    {R"({"process":{"user":{"uid":-1}}})", "/process/user/uid"},
    {R"({"process":{"user":{"uid":4294967296}}})", "/process/user/uid"},
    {R"({"process":{"user":{"uid":4294967295}}})", "/process/user/uid"},
    {R"({"process":{"env":["A=\u0000"]}})", "/process/env/0"},
    {R"({"mounts":[{"type":"tmpfs"}]})", "/mounts/0"},
    {R"({"mounts":[{"destination":"relative"}]})", nullptr},
    {R"({"mounts":[{"destination":""}]})", "/mounts/0/destination"},
    {R"({"mounts":[{"destination":"/a"},{"destination":5}]})", "/mounts/1/destination"},
    {R"({"mounts":[{"destination":"/a","options":["ro",5]}]})", "/mounts/0/options/1"},
    {R"({"mounts":[{"destination":"/a","source":null}]})", "/mounts/0/source"},
    {R"({"mounts":[{"destination":"/a","uidMappings":[]}]})", "/mounts/0"},
    {R"({"hooks":{"poststop":[{"path":"x"}]}})", "/hooks/poststop/0/path"},
    {R"({"hooks":{"poststop":[{"path":"/x","timeout":0}]}})", "/hooks/poststop/0/timeout"},
    {R"({"linux":{"cgroupsPath":"/a/../b"}})", "/linux/cgroupsPath"},
    {R"({"linux":{"cgroupsPath":"/a..b"}})", nullptr},
    {R"({"linux":{"devices":[{"type":"c","path":"/dev/x","major":1}]}})", "/linux/devices/0/minor"},
    {R"({"linux":{"devices":[{"type":"p","path":"/dev/x"}]}})", nullptr},
    {R"({"linux":{"devices":[{"type":"p","path":"dev/x"}]}})", "/linux/devices/0/path"},
    {R"({"linux":{"resources":{"devices":[{"allow":true,"access":"rx"}]}}})",
     "/linux/resources/devices/0/access"},
    {R"({"linux":{"resources":{"unified":{"../x":"1"}}}})", "/linux/resources/unified/..~1x"},
    {R"({"linux":{"resources":{"memory":{"limit":"1G"}}}})", "/linux/resources/memory/limit"},
    {R"({"linux":{"maskedPaths":["proc"]}})", "/linux/maskedPaths/0"},
    {R"({"linux":{"sysctl":{"kernel.panic":"1"}}})", "/linux/sysctl/kernel.panic"},
    {R"({"linux":{"sysctl":{"net.ipv4.ip_forward":"1"}}})", "/linux/sysctl/net.ipv4.ip_forward"},
    {R"({"linux":{"sysctl":{"net/ipv4/ip_forward":"1"},"namespaces":[{"type":"network"}]}})",
     nullptr},
    {R"({"linux":{"seccomp":{"defaultAction":"SCMP_ACT_NOTIFY"}}})", "/linux/seccomp/listenerPath"},
    {R"({"linux":{"seccomp":{"defaultAction":"ALLOW"}}})", "/linux/seccomp/defaultAction"},
    {R"({"linux":{"intelRdt":{"closID":".."}}})", "/linux/intelRdt/closID"},
    {R"({"linux":{"intelRdt":{"closID":"/"}}})", nullptr},
    {R"({"annotations":{"":"x"}})", "/annotations/"},
    {R"({"annotations":{"a":1}})", "/annotations/a"},
};

TEST(Validate, KnowsWhatTheSpecificationSays) {
  for (const Case& test : kCases) {
    const std::vector<std::string> expected = test.pointer == nullptr
                                                  ? std::vector<std::string>()
                                                  : std::vector<std::string>{test.pointer};
    EXPECT_EQ(Wrong(test.patch), expected) << test.patch;
  }
}

TEST(Validate, SaysWhatTheValueWas) {
  OciSpec spec = Minimal();
  spec.json()["linux"]["seccomp"]["defaultAction"] = "ALLOW";
  const std::vector<Violation> violations = Validate(spec);
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_EQ(violations[0].message, "\"ALLOW\" is not one of the values that are allowed here");
}

TEST(Validate, InvalidUtf8IsAViolation) {
  OciSpec spec = Minimal();
  spec.json()["process"]["args"][0] = "\xff";
  EXPECT_EQ(Validate(spec), (std::vector<Violation>{{"/process/args/0", "is not valid UTF-8"}}));
}

TEST(Validate, AStatusCarriesAllViolations) {
  const absl::Status status = ViolationsToStatus({{"/a", "x"}, {"/b", "y"}});
  EXPECT_EQ(status.message(), "OCI spec: /a: x (and 1 more)");
  EXPECT_EQ(GetReason(status), "SPEC_INVALID");
  EXPECT_EQ(GetFieldViolations(status).size(), 2u);
}

// ---- Upgrade

TEST(UpgradeSpec, LeavesVersionOneAlone) {
  OciSpec spec = OciSpec::Parse(R"({"ociVersion":"1.0.0","platform":{}})").value();
  EXPECT_TRUE(UpgradeSpec(spec).value().empty());
  EXPECT_TRUE(spec.json().contains("platform"));
}

TEST(UpgradeSpec, RefusesALaterMajorVersion) {
  OciSpec spec = OciSpec::Parse(R"({"ociVersion":"2.0.0"})").value();
  EXPECT_EQ(GetReason(UpgradeSpec(spec).status()), "SPEC_UNSUPPORTED");
}

TEST(UpgradeSpec, MovesWhatMovedOnTheWayToOne) {
  OciSpec spec = OciSpec::Parse(R"({"ociVersion":"0.2.0","process":{"capabilities":["CAP_KILL"]},
    "linux":{"rlimits":[{"type":"RLIMIT_CPU","soft":1,"hard":1}],"apparmorProfile":"p",
             "resources":{"disableOOMKiller":true,"oomScoreAdj":5,"blockIO":{"blkioWeight":7}},
             "seccomp":{"defaultAction":"SCMP_ACT_ALLOW",
                        "syscalls":[{"name":"ptrace","action":"SCMP_ACT_ERRNO"}]}}})")
                     .value();
  ASSERT_TRUE(UpgradeSpec(spec).ok());
  EXPECT_EQ(spec.json(), Json::parse(R"({"ociVersion":"1.3.0",
    "process":{"capabilities":{"bounding":["CAP_KILL"],"effective":["CAP_KILL"],
                 "inheritable":["CAP_KILL"],"permitted":["CAP_KILL"],"ambient":[]},
               "rlimits":[{"type":"RLIMIT_CPU","soft":1,"hard":1}],"apparmorProfile":"p",
               "oomScoreAdj":5},
    "linux":{"resources":{"memory":{"disableOOMKiller":true},"blockIO":{"weight":7}},
             "seccomp":{"defaultAction":"SCMP_ACT_ALLOW",
                        "syscalls":[{"names":["ptrace"],"action":"SCMP_ACT_ERRNO"}]}}})"));
}

TEST(StripNulls, RemovesNullMembersAndKeepsNullElements) {
  OciSpec spec = OciSpec::Parse(R"({"a":null,"b":{"c":null,"d":[null,{"e":null}]}})").value();
  EXPECT_EQ(StripNulls(spec), (std::vector<std::string>{"/a", "/b/c", "/b/d/1/e"}));
  EXPECT_EQ(spec.Canonical(), R"({"b":{"d":[null,{}]}})");
}

}  // namespace
}  // namespace ocid
