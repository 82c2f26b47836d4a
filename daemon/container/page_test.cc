#include "daemon/container/page.h"

#include "gtest/gtest.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

TEST(Page, SizesAreDefaultedAndCapped) {
  EXPECT_EQ(*PageSize(0), 100u);
  EXPECT_EQ(*PageSize(1), 1u);
  EXPECT_EQ(*PageSize(5000), 1000u);
  EXPECT_TRUE(absl::IsInvalidArgument(PageSize(-1).status()));
}

TEST(Page, ATokenGivesItsIdBackForTheSameArguments) {
  const std::string token = MakePageToken("web-1", "state=running");
  EXPECT_EQ(*ParsePageToken(token, "state=running"), "web-1");
  EXPECT_EQ(*ParsePageToken("", "anything"), "");
}

TEST(Page, ForeignTokensAreRefused) {
  const std::string token = MakePageToken("web-1", "state=running");
  for (const std::string& bad : {std::string("x"), std::string("!!"), token + "A",
                                 MakePageToken("../etc", "state=running")}) {
    EXPECT_EQ(GetReason(ParsePageToken(bad, "state=running").status()), "INVALID_PAGE_TOKEN")
        << bad;
  }
  EXPECT_EQ(GetReason(ParsePageToken(token, "state=stopped").status()), "INVALID_PAGE_TOKEN");
}

}  // namespace
}  // namespace ocid
