#include "runtime/supervisor/oom_kills.h"

#include <unistd.h>

#include <string>

#include "gtest/gtest.h"
#include "runtime/base/unique_fd.h"

namespace ocid {
namespace {

uint32_t Parse(const std::string& text) { return ParseOomKills(text.data(), text.size()); }

TEST(ParseOomKills, AreALineOfMemoryEvents) {
  EXPECT_EQ(Parse("low 0\nhigh 0\nmax 112\noom 3\noom_kill 2\noom_group_kill 0\n"), 2u);
}

TEST(ParseOomKills, AreALineOfV1sOomControl) {
  EXPECT_EQ(Parse("oom_kill_disable 1\nunder_oom 0\noom_kill 17\n"), 17u);
}

TEST(ParseOomKills, TooManyAreTheMostThereCanBe) {
  EXPECT_EQ(Parse("oom_kill 99999999999999999999999\n"), UINT32_MAX);
}

TEST(ParseOomKills, WhatHasNoSuchLineHasNone) {
  EXPECT_EQ(Parse(""), 0u);
  EXPECT_EQ(Parse("oom_kill 7"), 0u);
  EXPECT_EQ(Parse("oom_kill \n"), 0u);
  EXPECT_EQ(Parse("oom_killer 7\noom_kill x\n"), 0u);
}

TEST(ReadOomKills, AFileThatCannotBeReadHasNone) {
  EXPECT_EQ(ReadOomKills(UniqueFd()), 0u);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const UniqueFd reader(ends[0]);
  const UniqueFd writer(ends[1]);
  EXPECT_EQ(ReadOomKills(reader), 0u);
}

}  // namespace
}  // namespace ocid
