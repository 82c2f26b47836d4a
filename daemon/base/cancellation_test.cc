#include "daemon/base/cancellation.h"

#include "gtest/gtest.h"

namespace ocid {
namespace {

TEST(Cancellation, RunsTheFunctionOnce) {
  Cancellation cancellation;
  int runs = 0;
  cancellation.OnCancel([&] { ++runs; });
  EXPECT_EQ(runs, 0);
  cancellation.Cancel();
  cancellation.Cancel();
  EXPECT_EQ(runs, 1);
  EXPECT_TRUE(cancellation.cancelled());
}

TEST(Cancellation, ThatCameFirstRunsTheFunctionAtRegistration) {
  Cancellation cancellation;
  cancellation.Cancel();
  int runs = 0;
  cancellation.OnCancel([&] { ++runs; });
  EXPECT_EQ(runs, 1);
}

TEST(Cancellation, DoesNothingOnceCleared) {
  Cancellation cancellation;
  int runs = 0;
  cancellation.OnCancel([&] { ++runs; });
  cancellation.Clear();
  cancellation.Cancel();
  EXPECT_EQ(runs, 0);
}

}  // namespace
}  // namespace ocid
