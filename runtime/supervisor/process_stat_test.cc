#include "runtime/supervisor/process_stat.h"

#include <unistd.h>

#include <string>

#include "gtest/gtest.h"

namespace ocid {
namespace {

uint64_t Parse(const std::string& text) { return ParseStartTime(text.data(), text.size()); }

TEST(ParseStartTime, IsTheTwentySecondField) {
  EXPECT_EQ(Parse("7 (sh) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 99 1\n"), 123456u);
}

TEST(ParseStartTime, ACommandMayLookLikeFields) {
  EXPECT_EQ(Parse("7 (a) b 9) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 55 99 1\n"), 55u);
}

TEST(ParseStartTime, WhatIsCutShortHasNone) {
  EXPECT_EQ(Parse("7 (sh) S 1 7 7"), 0u);
  EXPECT_EQ(Parse(""), 0u);
  EXPECT_EQ(Parse("7 sh S"), 0u);
}

TEST(ReadStartTime, AnswersForThisProcessAndNotForNone) {
  EXPECT_GT(ReadStartTime(getpid()), 0u);
  EXPECT_EQ(ReadStartTime(0x3fffffff), 0u);
}

}  // namespace
}  // namespace ocid
