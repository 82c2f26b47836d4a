#include "daemon/base/log_context.h"

#include <gtest/gtest.h>

namespace ocid {
namespace {

constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";

TEST(TraceIdOf, IsTakenFromAHeaderOfThisVersion) {
  EXPECT_EQ(TraceIdOf("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), kTrace);
}

TEST(TraceIdOf, IsTakenFromALaterVersionThatSaysMore) {
  EXPECT_EQ(TraceIdOf("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"), kTrace);
}

TEST(TraceIdOf, IsEmptyWhereTheHeaderIsMalformed) {
  for (const char* text :
       {"", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-4bf92f3577b34da6a3ce929d0e0e473\"-00f067aa0ba902b7-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01"}) {
    EXPECT_EQ(TraceIdOf(text), "") << text;
  }
}

TEST(ScopedLogContext, LeavesWhatWasThereBefore) {
  EXPECT_EQ(CurrentLogContext(), nullptr);
  {
    const ScopedLogContext outer(std::make_shared<LogContext>(LogContext{"a", "m"}));
    {
      const ScopedLogContext inner(std::make_shared<LogContext>(LogContext{"b", "n"}));
      EXPECT_EQ(CurrentLogContext()->trace_id, "b");
    }
    EXPECT_EQ(CurrentLogContext()->trace_id, "a");
  }
  EXPECT_EQ(CurrentLogContext(), nullptr);
}

}  // namespace
}  // namespace ocid
