#include "client/cli/create_container.h"

#include "gtest/gtest.h"

namespace ocid::cli {
namespace {

TEST(NamesItsRegistry, AHostHasADotOrAPortOrIsThisOne) {
  EXPECT_TRUE(NamesItsRegistry("registry.example/team/web:1"));
  EXPECT_TRUE(NamesItsRegistry("registry:5000/web"));
  EXPECT_TRUE(NamesItsRegistry("localhost/web"));
  EXPECT_TRUE(NamesItsRegistry("[::1]:5000/web@sha256:00"));
}

TEST(NamesItsRegistry, ANameOfTheStoreIsNotAskedForElsewhere) {
  EXPECT_FALSE(NamesItsRegistry("web:1.2"));
  EXPECT_FALSE(NamesItsRegistry("team/web:1"));
  EXPECT_FALSE(NamesItsRegistry("/etc/passwd.d/x"));
  EXPECT_FALSE(NamesItsRegistry(""));
}

}  // namespace
}  // namespace ocid::cli
