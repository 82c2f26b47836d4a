#include "daemon/container/process_list.h"

#include <unistd.h>

#include "gtest/gtest.h"

namespace ocid {
namespace {

TEST(ParseProcessStat, TakesANameWithSpacesAndParentheses) {
  const auto stat = ParseProcessStat(
      "42 (a) b (c) S 7 1 1 0 -1 4194560 1 2 3 4 100 50 0 0 20 0 1 0 9999 4096 25 1844");
  ASSERT_TRUE(stat.has_value());
  EXPECT_EQ(stat->comm, "a) b (c");
  EXPECT_EQ(stat->state, 'S');
  EXPECT_EQ(stat->parent, 7);
  EXPECT_EQ(stat->cpu_ticks, 150u);
  EXPECT_EQ(stat->start_time, 9999u);
  EXPECT_EQ(stat->resident_pages, 25u);
}

TEST(ParseProcessStat, RefusesWhatIsCutShort) {
  for (const char* text : {"", "42", "42 (a", "42 (a)", "42 (a) S", "42 (a) S 7 1 1", ")("}) {
    EXPECT_FALSE(ParseProcessStat(text).has_value()) << text;
  }
}

TEST(ListProcesses, ShowsThisProcessAndLeavesOutWhatIsGone) {
  const v1::ListProcessesResponse response =
      ListProcesses({getpid(), 0x7ffffff}, {{getpid(), "e1"}});
  ASSERT_EQ(response.processes_size(), 1);
  EXPECT_EQ(response.processes(0).pid(), getpid());
  EXPECT_EQ(response.processes(0).parent_pid(), getppid());
  EXPECT_EQ(response.processes(0).uid(), getuid());
  EXPECT_EQ(response.processes(0).exec_id(), "e1");
  EXPECT_GT(response.processes(0).resident_bytes(), 0u);
  EXPECT_NE(response.processes(0).command().find("process_list_test"), std::string::npos);
}

TEST(DescribeProcess, SaysNameAndState) {
  const std::string self = DescribeProcess(getpid());
  EXPECT_TRUE(self.starts_with(std::to_string(getpid()) + " (process_list_te, state R")) << self;
  EXPECT_EQ(DescribeProcess(0x7ffffff), "134217727 (gone)");
}

}  // namespace
}  // namespace ocid
