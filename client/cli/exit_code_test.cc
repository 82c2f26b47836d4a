#include "client/cli/exit_code.h"

#include "gtest/gtest.h"

namespace ocid::cli {
namespace {

ApiError Error(absl::StatusCode code, const char* reason) {
  ApiError error;
  error.code = code;
  error.reason = reason;
  return error;
}

TEST(ExitCodeFor, ARefusalIsOneUnlessTheCommandStandsInForAProcess) {
  const ApiError error = Error(absl::StatusCode::kNotFound, "CONTAINER_NOT_FOUND");
  EXPECT_EQ(ExitCodeFor(error, /*stands_in=*/false), 1);
  EXPECT_EQ(ExitCodeFor(error, /*stands_in=*/true), 125);
}

TEST(ExitCodeFor, NobodyThereIs125ButADaemonThatShutsDownSaysNo) {
  EXPECT_EQ(ExitCodeFor(Error(absl::StatusCode::kUnavailable, ""), false), 125);
  EXPECT_EQ(ExitCodeFor(Error(absl::StatusCode::kUnavailable, "SHUTTING_DOWN"), false), 1);
}

TEST(ExitCodeFor, OurOwnDeadlineIs124AndTheDaemonsIsNot) {
  EXPECT_EQ(ExitCodeFor(Error(absl::StatusCode::kDeadlineExceeded, ""), true), 124);
  EXPECT_EQ(ExitCodeFor(Error(absl::StatusCode::kDeadlineExceeded, "UNKILLABLE"), false), 1);
}

TEST(ExitCodeFor, AMissingProgramIs127AndOneThatCannotRun126) {
  EXPECT_EQ(ExitCodeFor(Error(absl::StatusCode::kFailedPrecondition, "EXECUTABLE_NOT_FOUND"), true),
            127);
  ApiError error = Error(absl::StatusCode::kFailedPrecondition, "LAUNCH_FAILED");
  error.metadata = {{"spec_pointer", "/process/args"}, {"errno", "13"}};
  EXPECT_EQ(ExitCodeFor(error, true), 126);
  error.metadata["spec_pointer"] = "/mounts/0";
  EXPECT_EQ(ExitCodeFor(error, true), 125);
}

}  // namespace
}  // namespace ocid::cli
