#include "daemon/base/signal_name.h"

#include <gtest/gtest.h>

#include <csignal>
#include <string_view>

namespace ocid {
namespace {

TEST(ParseSignal, TakesNamesWithAndWithoutPrefixInAnyCase) {
  EXPECT_EQ(ParseSignal("SIGTERM"), SIGTERM);
  EXPECT_EQ(ParseSignal("TERM"), SIGTERM);
  EXPECT_EQ(ParseSignal("sigkill"), SIGKILL);
  EXPECT_EQ(ParseSignal("usr1"), SIGUSR1);
  EXPECT_EQ(ParseSignal("CLD"), SIGCHLD);
}

TEST(ParseSignal, TakesNumbersFrom1To64) {
  EXPECT_EQ(ParseSignal("1"), 1);
  EXPECT_EQ(ParseSignal("64"), 64);
  EXPECT_EQ(ParseSignal("0"), std::nullopt);
  EXPECT_EQ(ParseSignal("65"), std::nullopt);
}

TEST(ParseSignal, CountsRealTimeSignalsFromBothEnds) {
  EXPECT_EQ(ParseSignal("SIGRTMIN"), SIGRTMIN);
  EXPECT_EQ(ParseSignal("RTMIN+3"), SIGRTMIN + 3);
  EXPECT_EQ(ParseSignal("RTMAX-1"), SIGRTMAX - 1);
  EXPECT_EQ(ParseSignal("RTMIN+31"), std::nullopt);
  EXPECT_EQ(ParseSignal("RTMIN-1"), std::nullopt);
}

TEST(ParseSignal, RefusesEverythingElse) {
  using namespace std::string_view_literals;
  for (const std::string_view text :
       {""sv, "SIG"sv, "TERMX"sv, "-9"sv, "+9"sv, " 9"sv, "9 "sv, "0x9"sv, "9999999999"sv,
        "KILL\0"sv, "RTMIN+"sv, "SIGSIGTERM"sv}) {
    EXPECT_EQ(ParseSignal(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace ocid
