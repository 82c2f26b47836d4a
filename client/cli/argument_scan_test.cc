#include "client/cli/argument_scan.h"

#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace ocid::cli {
namespace {

class FindPositionalTest : public ::testing::Test {
 protected:
  FindPositionalTest() {
    app_.set_help_flag();
    app_.add_flag("-i,--interactive", interactive_);
    app_.add_option("-e,--env", values_)->allow_extra_args(false);
  }

  CLI::App app_;
  bool interactive_ = false;
  std::vector<std::string> values_;
};

TEST_F(FindPositionalTest, SkipsOptionsAndTheirValues) {
  EXPECT_EQ(FindPositional(app_, {"-e", "A=1", "--env", "B=2", "--env=C=3", "web", "ls"}, 0), 5u);
  EXPECT_EQ(FindPositional(app_, {"-e", "A=1", "web", "ls", "-l"}, 1), 3u);
}

TEST_F(FindPositionalTest, FlagsInOneWordMayEndWithAnOptionThatTakesAValue) {
  EXPECT_EQ(FindPositional(app_, {"-ie", "A=1", "web"}, 0), 2u);
  EXPECT_EQ(FindPositional(app_, {"-ieA=1", "web"}, 0), 1u);
}

TEST_F(FindPositionalTest, BehindTwoDashesAllIsPositional) {
  EXPECT_EQ(FindPositional(app_, {"--", "-e"}, 0), 1u);
}

TEST_F(FindPositionalTest, ThereMayBeNone) {
  EXPECT_EQ(FindPositional(app_, {"-i", "-e", "A=1"}, 0), std::nullopt);
  EXPECT_EQ(FindPositional(app_, {}, 0), std::nullopt);
}

}  // namespace
}  // namespace ocid::cli
