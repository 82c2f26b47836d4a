#include "daemon/base/filter.h"

#include <map>

#include "gtest/gtest.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

const FilterKeys kKeys = {.keys = {"id", "image"}, .ignore_case = {"state"}, .labels = true};

bool Holds(std::string_view text, const std::map<std::string, std::string>& thing) {
  absl::StatusOr<Filter> filter = Filter::Parse(text, kKeys);
  EXPECT_TRUE(filter.ok()) << filter.status();
  return filter.ok() && filter->Matches([&](std::string_view key) -> std::optional<std::string> {
    const auto found = thing.find(std::string(key));
    if (found == thing.end()) return std::nullopt;
    return found->second;
  });
}

TEST(Filter, ThatIsEmptyMatchesEverything) {
  EXPECT_TRUE(Holds("", {}));
  EXPECT_TRUE(Holds("  ", {{"id", "a"}}));
}

TEST(Filter, AllTermsMustHold) {
  EXPECT_TRUE(Holds("id=a state=RUNNING", {{"id", "a"}, {"state", "RUNNING"}}));
  EXPECT_FALSE(Holds("id=a state=RUNNING", {{"id", "a"}, {"state", "STOPPED"}}));
  EXPECT_TRUE(Holds("id=a AND state=running", {{"id", "a"}, {"state", "RUNNING"}}));
}

TEST(Filter, StarAtTheEndMatchesAnyRest) {
  EXPECT_TRUE(Holds("id=web-*", {{"id", "web-1"}}));
  EXPECT_TRUE(Holds("id=web-*", {{"id", "web-"}}));
  EXPECT_FALSE(Holds("id=web-*", {{"id", "web"}}));
  EXPECT_FALSE(Holds("id!=web-*", {{"id", "web-1"}}));
  EXPECT_FALSE(Holds("id=\"web-*\"", {{"id", "web-1"}}));
}

TEST(Filter, NegationHoldsWhereThereIsNoValue) {
  EXPECT_TRUE(Holds("label.tier!=front", {}));
  EXPECT_FALSE(Holds("label.tier=front", {}));
}

TEST(Filter, BareLabelAsksWhetherItIsThere) {
  EXPECT_TRUE(Holds("label.tier", {{"label.tier", "x"}}));
  EXPECT_FALSE(Holds("label.tier", {}));
}

TEST(Filter, QuotedValuesMayHoldSpacesAndQuotes) {
  EXPECT_TRUE(Holds(R"(label.a="two words")", {{"label.a", "two words"}}));
  EXPECT_TRUE(Holds(R"(label.a="say \"hi\" \\")", {{"label.a", R"(say "hi" \)"}}));
}

TEST(Filter, RefusesWhatItDoesNotUnderstand) {
  for (const char* text : {"colour=red", "id=\"open", "AND id=a", "id=a AND", "id!a", "=x",
                           "label.=x", "id=\"a\"b", R"(id="\n")", "id=a AND AND id=b"}) {
    const absl::StatusOr<Filter> filter = Filter::Parse(text, kKeys);
    EXPECT_FALSE(filter.ok()) << text;
    EXPECT_EQ(GetReason(filter.status()), "INVALID_FILTER") << text;
  }
  EXPECT_FALSE(Filter::Parse(std::string(1025, ' '), kKeys).ok());
}

}  // namespace
}  // namespace ocid
