#include "runtime/cgroup/cgroup_path.h"

#include "gtest/gtest.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

TEST(ResolveCgroupPath, EmptyIsTheIdBelowTheParent) {
  EXPECT_EQ(*ResolveCgroupPath("ocid", "web", ""), "ocid/web");
}

TEST(ResolveCgroupPath, RelativeIsBelowTheParentAndAbsoluteIsNot) {
  EXPECT_EQ(*ResolveCgroupPath("ocid", "web", "pod/a"), "ocid/pod/a");
  EXPECT_EQ(*ResolveCgroupPath("ocid", "web", "/pod/a"), "pod/a");
  EXPECT_EQ(*ResolveCgroupPath("/", "web", "pod"), "pod");
}

TEST(ResolveCgroupPath, EmptyAndDotComponentsVanish) {
  EXPECT_EQ(*ResolveCgroupPath("ocid", "web", "//pod/./a/"), "pod/a");
}

TEST(ResolveCgroupPath, RefusesWhatCouldLeaveTheTreeOrHideAFile) {
  const std::string with_nul("a\0b", 3);
  for (const std::string& path :
       {std::string("a/../b"), std::string(".."), std::string("/"), std::string("/./"), with_nul,
        std::string("a\nb"), std::string(256, 'x'), std::string(5000, '/') + "x",
        std::string("/cgroup.procs"), std::string("system.slice:ocid:web")}) {
    const auto resolved = ResolveCgroupPath("ocid", "web", path);
    ASSERT_FALSE(resolved.ok()) << path;
    EXPECT_EQ(GetReason(resolved.status()), "CGROUP_PATH_INVALID");
    EXPECT_EQ(GetFieldViolations(resolved.status())[0].field, "/linux/cgroupsPath");
  }
}

TEST(ResolveScopeName, DefaultIsTheIdInTheDefaultSlice) {
  const auto name = ResolveScopeName("system.slice", "web", "");
  ASSERT_TRUE(name.ok()) << name.status();
  EXPECT_EQ(*name, (ScopeName{"system.slice", "ocid-web.scope"}));
  EXPECT_EQ(name->CgroupPath(), "system.slice/ocid-web.scope");
}

TEST(ResolveScopeName, DashesOfASliceAreItsPlaceInTheTree) {
  EXPECT_EQ(ResolveScopeName("system.slice", "web", "a-b-c.slice:docker:x")->CgroupPath(),
            "a.slice/a-b.slice/a-b-c.slice/docker-x.scope");
  EXPECT_EQ(ResolveScopeName("system.slice", "web", "-.slice::x")->CgroupPath(), "x.scope");
  EXPECT_EQ(ResolveScopeName("system.slice", "web", ":p:x")->CgroupPath(),
            "system.slice/p-x.scope");
}

TEST(ResolveScopeName, APlusIsEscapedAsSystemdDoes) {
  EXPECT_EQ(ResolveScopeName("system.slice", "c++", "")->scope, "ocid-c\\x2b\\x2b.scope");
  EXPECT_EQ(ResolveScopeName("system.slice", "web", ":p:a+b")->scope, "p-a\\x2bb.scope");
}

TEST(ResolveScopeName, RefusesWhatIsNotAUnitName) {
  for (const std::string path :
       {"/a/b", "a", "a:b", "a:b:c", "a--b.slice:p:n", "-a.slice:p:n",
        "s.slice:p:", "s.slice:p:x/y", "s.slice:p:x y", "s.slice:p:x.slice", "../s.slice:p:x"}) {
    const auto name = ResolveScopeName("system.slice", "web", path);
    ASSERT_FALSE(name.ok()) << path;
    EXPECT_EQ(GetReason(name.status()), "CGROUP_PATH_INVALID");
  }
  EXPECT_FALSE(ResolveScopeName("system.slice", std::string(300, 'x'), "").ok());
}

TEST(SupervisorScope, NamesASliceOfOnesOwnAndIsNoContainers) {
  EXPECT_EQ(SupervisorScope("system.slice"), (ScopeName{"system.slice", "ocid.supervisors.scope"}));
  EXPECT_EQ(SupervisorScope("a-b.slice"), (ScopeName{"a-b.slice", "ocid.supervisors.a.b.scope"}));
  EXPECT_EQ(SupervisorScope("-.slice").scope, "ocid.supervisors.scope");
}

}  // namespace
}  // namespace ocid
