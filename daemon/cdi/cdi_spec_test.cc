#include "daemon/cdi/cdi_spec.h"

#include <chrono>
#include <string>

#include "daemon/cdi/cdi_name.h"
#include "gtest/gtest.h"

namespace ocid {
namespace {

// ---- Names

TEST(ParseCdiName, KnowsTheTableOfTheSpecification) {
  for (const char* good : {"vendor.com/class=dev", "v/c=d", "v/c=0", "V-1.x_y/C-2_z=a:b.c-d_e",
                           "nvidia.com/gpu=GPU-1234:0", "vendor/c.d=all"}) {
    EXPECT_TRUE(ParseCdiName(good).ok()) << good;
    EXPECT_EQ(ParseCdiName(good)->Qualified(), good);
  }
  for (const char* bad : {"",        "dev",          "/dev/null", "/v/c=d",  "v/c",     "v=d",
                          "v/c=",    "/c=d",         "v/=d",      "1v/c=d",  "v-/c=d",  "v/1c=d",
                          "v/c.=d",  "v/c=-d",       "v/c=d-",    "v/c=d e", "v:x/c=d", "v/c/e=d",
                          "v/c:d=e", "v/c=\xc3\xa9", "v/c=d,"}) {
    EXPECT_FALSE(ParseCdiName(bad).ok()) << bad;
  }
}

TEST(CdiDevicesOfAnnotations, ReadsEveryKeyWithThePrefixInOrder) {
  const auto devices = CdiDevicesOfAnnotations(
      {{"cdi.k8s.io/b", "v/c=2,v/c=3"}, {"cdi.k8s.io/a", "v/c=1"}, {"cdi.k8s.iox", "nonsense"}});
  ASSERT_TRUE(devices.ok());
  EXPECT_EQ(*devices, (std::vector<std::string>{"v/c=1", "v/c=2", "v/c=3"}));
}

TEST(CdiDevicesOfAnnotations, OneBadNameFailsAll) {
  for (const char* bad : {"", "v/c=1,", "v/c=1, v/c=2", "x"}) {
    EXPECT_FALSE(CdiDevicesOfAnnotations({{"cdi.k8s.io/a", bad}}).ok()) << bad;
  }
}

// ---- Files

std::string Spec(std::string_view version, std::string_view device_edits,
                 std::string_view more = "") {
  return "cdiVersion: " + std::string(version) + "\nkind: vendor.com/gpu\n" + std::string(more) +
         "\ndevices:\n- name: d\n  containerEdits: " + std::string(device_edits) + "\n";
}

TEST(ParseCdiSpec, ReadsEveryKindOfEdit) {
  const auto spec = ParseCdiSpec(R"(---
cdiVersion: "1.1.0"
kind: vendor.com/gpu
annotations: {a: b}
containerEdits: {env: [X=1]}
devices:
- name: 0
  annotations: {c: d}
  containerEdits:
    env: ["A=1"]
    deviceNodes:
    - {path: /dev/x, hostPath: /dev/y, type: c, major: 1, minor: 0x10, fileMode: 0666,
       permissions: rw, uid: 1, gid: 2}
    netDevices: [{hostInterfaceName: eth9, name: net0}]
    hooks: [{hookName: prestart, path: /bin/h, args: [h, 1], env: [B=2], timeout: 3}]
    mounts: [{hostPath: /a, containerPath: /b, type: bind, options: [ro]}]
    intelRdt: {closID: c, schemata: [L3:0=f], enableMonitoring: true}
    additionalGids: [4, 5]
---
ignored: true
)");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->devices[0].name, "0");
  EXPECT_EQ(CdiEditsJson(spec->devices[0].edits),
            R"({"additionalGids":[4,5],"deviceNodes":[{"fileMode":438,"gid":2,"hostPath":"/dev/y",)"
            R"("major":1,"minor":16,"path":"/dev/x","permissions":"rw","type":"c","uid":1}],)"
            R"("env":["A=1"],"hooks":[{"args":["h","1"],"env":["B=2"],"hookName":"prestart",)"
            R"("path":"/bin/h","timeout":3}],"intelRdt":{"closID":"c","enableMonitoring":true,)"
            R"("schemata":["L3:0=f"]},"mounts":[{"containerPath":"/b","hostPath":"/a",)"
            R"("options":["ro"],"type":"bind"}],"netDevices":[{"hostInterfaceName":"eth9",)"
            R"("name":"net0"}]})");
  EXPECT_EQ(RequiredCdiVersion(*spec), "1.1.0");
}

TEST(ParseCdiSpec, ReadsJsonWithTabsAndKeysOfAnyCase) {
  const auto spec = ParseCdiSpec(
      "{\n\t\"CDIVERSION\": \"v0.5.0\",\n\t\"Kind\": \"vendor.com\\/gpu\",\n\t\"devices\": "
      "[{\"name\": \"d\", \"containerEdits\": {\"env\": [\"A=1\"], \"deviceNodes\": null}}]}");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->version, "0.5.0");
  EXPECT_EQ(spec->Kind(), "vendor.com/gpu");
}

struct VersionCase {
  const char* minimum;
  const char* edits;
  const char* more = "";
};

const VersionCase kVersionCases[] = {
    {"0.3.0", "{env: [A=1]}"},
    {"0.3.0", "{mounts: [{hostPath: /a, containerPath: /b}]}"},
    {"0.4.0", "{mounts: [{hostPath: /a, containerPath: /b, type: bind}]}"},
    {"0.5.0", "{deviceNodes: [{path: /dev/x, hostPath: /dev/x}]}"},
    {"0.6.0", "{env: [A=1]}", "annotations: {a: b}"},
    {"0.7.0", "{additionalGids: [1]}"},
    {"0.7.0", "{intelRdt: {closID: a}}"},
    {"0.7.0", "{env: [A=1]}", "containerEdits: {additionalGids: [1]}"},
    {"1.1.0", "{netDevices: [{hostInterfaceName: a, name: b}]}"},
    {"1.1.0", "{intelRdt: {schemata: [x]}}"},
    {"1.1.0", "{intelRdt: {enableMonitoring: true}}"},
    {"1.1.0", "{intelRdt: {closID: a, schemata: []}}"},
    {"0.7.0", "{intelRdt: {closID: a, enableMonitoring: false}}"},
    {"0.3.0", "{env: [A=1], additionalGids: []}"},
    {"0.7.0", "{env: [A=1]}", "containerEdits: {intelRdt: {closID: z}}"},
    {"1.1.0", "{env: [A=1]}",
     "containerEdits: {netDevices: [{hostInterfaceName: a, name: b}]}"},
};

TEST(ParseCdiSpec, AsksForTheVersionThatTheContentNeeds) {
  const std::vector<std::string> versions = {"0.3.0", "0.4.0", "0.5.0", "0.6.0",
                                             "0.7.0", "0.8.0", "1.0.0", "1.1.0"};
  for (const VersionCase& test : kVersionCases) {
    for (const std::string& version : versions) {
      const auto spec = ParseCdiSpec(Spec(version, test.edits, test.more));
      EXPECT_EQ(spec.ok(), version >= test.minimum)
          << version << " " << test.edits << ": " << spec.status();
    }
  }
}

TEST(ParseCdiSpec, KnowsNoOtherVersions) {
  for (const char* version : {"0.1.0", "0.2.0", "0.6", "1.2.0", "2.0.0", "x", "\"\"", "vv1.0.0"}) {
    EXPECT_FALSE(ParseCdiSpec(Spec(version, "{env: [A=1]}")).ok()) << version;
  }
}

TEST(ParseCdiSpec, TakesWholeNumbersInAnyForm) {
  for (const char* number : {"100", "0x64", "0o144", "0144", "1e2", "100.0"}) {
    const auto spec = ParseCdiSpec(
        Spec("1.1.0", "{deviceNodes: [{path: /d, type: c, major: " + std::string(number) + "}]}"));
    ASSERT_TRUE(spec.ok()) << number << ": " << spec.status();
    EXPECT_EQ(spec->devices[0].edits.device_nodes[0].major, 100) << number;
  }
  for (const char* number : {"1.5", "1e400", "99999999999999999999", "\"100\"", "x", "inf", "nan"}) {
    EXPECT_FALSE(ParseCdiSpec(Spec("1.1.0", "{deviceNodes: [{path: /d, major: " +
                                                std::string(number) + "}]}"))
                     .ok())
        << number;
  }
}

TEST(ParseCdiSpec, RefusesWhatIsInvalid) {
  for (const char* edits :
       {"{}",
        "null",
        "{env: [A]}",
        "{env: [=1]}",
        "{env: A=1}",
        "{deviceNodes: [{}]}",
        "{deviceNodes: [{path: /x, type: z}]}",
        "{deviceNodes: [{path: /x, permissions: rwx}]}",
        "{deviceNodes: [{path: /x, major: -1}]}",
        "{deviceNodes: [{path: /x, major: '1'}]}",
        "{deviceNodes: [{path: /x, uid: 4294967296}]}",
        "{hooks: [{hookName: x, path: /h}]}",
        "{hooks: [{hookName: prestart}]}",
        "{hooks: [{hookName: prestart, path: /h, env: [x]}]}",
        "{mounts: [{hostPath: /a}]}",
        "{mounts: [{containerPath: /a}]}",
        "{intelRdt: {closID: ..}}",
        "{intelRdt: {closID: a/b}}",
        "{unknown: 1, env: [A=1]}",
        "{env: [A=1], env: [B=1]}",
        "{env: [A=1], ENV: [B=1]}",
        "{netDevices: [{hostInterfaceName: a, name: b}, {hostInterfaceName: a, name: c}]}"}) {
    EXPECT_FALSE(ParseCdiSpec(Spec("1.1.0", edits)).ok()) << edits;
  }
  for (const char* text :
       {"", "[]", "x", "kind: a/b", "cdiVersion: 1.0.0\nkind: a\ndevices: []",
        "cdiVersion: 1.0.0\nkind: a/b\ndevices: []", "cdiVersion: 1.0.0\nkind: a/b",
        "cdiVersion: 1.0.0\nkind: a/b\ndevices: [{name: d, containerEdits: {env: [A=1]}}, "
        "{name: d, containerEdits: {env: [A=1]}}]",
        "cdiVersion: 1.0.0\nkind: a/b\ndevices: [{name: d}]"}) {
    EXPECT_FALSE(ParseCdiSpec(text).ok()) << text;
  }
}

TEST(ParseCdiSpec, AcceptsWhatNewerVersionsDropped) {
  EXPECT_TRUE(ParseCdiSpec(Spec("1.0.0", "{intelRdt: {closID: a, enableCMT: true}}")).ok());
}

TEST(ParseCdiSpec, AnErrorNamesItsLine) {
  const auto spec = ParseCdiSpec("cdiVersion: 1.0.0\nkind: a/b\ndevices:\n- nme: x\n");
  EXPECT_EQ(spec.status().message(), "line 4: unknown field \"nme\" (devices)");
}

TEST(ParseCdiSpec, AnAliasIsPutIn) {
  const auto spec = ParseCdiSpec(
      "cdiVersion: 1.0.0\nkind: a/b\ndevices:\n- name: x\n  containerEdits: &e {env: [A=1]}\n"
      "- name: y\n  containerEdits: *e\n");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->devices[1].edits.env, (std::vector<std::string>{"A=1"}));
}

TEST(ParseCdiSpec, HostileTextFailsFast) {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 9; ++k) bomb += (k > 0 ? ",*a" : "*a") + std::to_string(i - 1);
    bomb += "]\n";
  }
  std::string block;
  for (int i = 0; i < 400; ++i) block += std::string(static_cast<size_t>(i), ' ') + "a:\n";
  std::string keys;
  for (int i = 0; i < 20'000; ++i) keys += "a: 1\n";
  std::string dashes;
  for (int i = 0; i < 50'000; ++i) dashes += "- ";
  for (const std::string& text :
       {bomb, std::string(100'000, '['), std::string(100'000, '{'), block, keys, dashes,
        std::string(100'000, '?'), std::string(100'000, '&'), std::string(100'000, '!'),
        std::string(100'000, '"'), std::string(100'000, ':'), std::string("a: \xff"),
        std::string("a: [") + std::string(50'000, ',') + "]"}) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_FALSE(ParseCdiSpec(text).ok()) << text.substr(0, 20);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(1000))
        << text.substr(0, 20);
  }
}

}  // namespace
}  // namespace ocid
