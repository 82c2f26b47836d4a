#include "daemon/container/public_error.h"

#include "gtest/gtest.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

TEST(PublicError, MapsReasonsOfTheRuntimeAndKeepsTheDetails) {
  absl::Status status = MakeError(absl::StatusCode::kDeadlineExceeded, "CGROUP_TIMEOUT",
                                  "remove: still there", {{"pids", "7,8"}});
  AddFieldViolation(status, "/linux", "x");
  const absl::Status mapped = PublicError(status);
  EXPECT_EQ(mapped.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(GetReason(mapped), "UNKILLABLE");
  EXPECT_EQ(GetErrorMetadata(mapped), (ErrorMetadata{{"pids", "7,8"}}));
  EXPECT_EQ(GetFieldViolations(mapped).size(), 1u);
  EXPECT_EQ(mapped.message(), status.message());
}

TEST(PublicError, LeavesReasonsOfTheApiAlone) {
  const absl::Status status =
      MakeError(absl::StatusCode::kInvalidArgument, "SPEC_INVALID", "spec: bad");
  EXPECT_EQ(PublicError(status), status);
}

TEST(PublicError, GivesAnErrorWithoutAReasonOne) {
  EXPECT_EQ(GetReason(PublicError(absl::InternalError("x"))), "INTERNAL");
  EXPECT_EQ(GetReason(PublicError(absl::UnimplementedError("x"))), "NOT_IMPLEMENTED");
}

TEST(PublicError, OkIsOk) { EXPECT_TRUE(PublicError(absl::OkStatus()).ok()); }

}  // namespace
}  // namespace ocid
