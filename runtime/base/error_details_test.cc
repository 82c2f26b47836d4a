#include "runtime/base/error_details.h"

#include "absl/strings/cord.h"
#include "gtest/gtest.h"

namespace ocid {
namespace {

TEST(ErrorDetails, ReasonAndMetadataComeBack) {
  const absl::Status status =
      MakeError(absl::StatusCode::kNotFound, "CONTAINER_NOT_FOUND", "container c1: not found",
                {{"container", "c1"}, {"empty", ""}});
  EXPECT_EQ(status.message(), "container c1: not found");
  EXPECT_EQ(GetReason(status), "CONTAINER_NOT_FOUND");
  EXPECT_EQ(GetErrorMetadata(status), (ErrorMetadata{{"container", "c1"}, {"empty", ""}}));
}

TEST(ErrorDetails, ErrorInfoIsTheProtobufWireEncoding) {
  const absl::Status status = MakeError(absl::StatusCode::kAborted, "R", "m", {{"k", "v"}});
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.ErrorInfo");
  ASSERT_TRUE(payload.has_value());
  EXPECT_EQ(std::string(*payload), "\x0a\x01R\x12\x04ocid\x1a\x06\x0a\x01k\x12\x01v");
}

TEST(ErrorDetails, ViolationsAccumulateInOrder) {
  absl::Status status = MakeError(absl::StatusCode::kInvalidArgument, "SPEC_INVALID", "two things");
  AddFieldViolation(status, "/process/cwd", std::string(300, 'x'));
  AddFieldViolation(status, "/mounts/0", "no destination");
  EXPECT_EQ(GetFieldViolations(status),
            (std::vector<FieldViolation>{{"/process/cwd", std::string(300, 'x')},
                                         {"/mounts/0", "no destination"}}));
  EXPECT_EQ(GetReason(status), "SPEC_INVALID");
}

TEST(ErrorDetails, APlainStatusHasNoDetails) {
  EXPECT_EQ(GetReason(absl::InternalError("plain")), "");
  EXPECT_TRUE(GetFieldViolations(absl::InternalError("plain")).empty());
}

TEST(ErrorDetails, AMalformedPayloadReadsAsWhatPrecedesTheDamage) {
  absl::Status status = absl::InternalError("damaged");
  status.SetPayload("type.googleapis.com/google.rpc.ErrorInfo", absl::Cord("\x0a\x01R\x12\x7f"));
  EXPECT_EQ(GetReason(status), "R");
  status.SetPayload("type.googleapis.com/google.rpc.ErrorInfo",
                    absl::Cord("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"));
  EXPECT_EQ(GetReason(status), "");
}

TEST(ErrorDetails, AnnotateKeepsCodeAndDetails) {
  absl::Status status = MakeError(absl::StatusCode::kNotFound, "GONE", "it left");
  AddFieldViolation(status, "name", "unknown");
  const absl::Status annotated = Annotate(status, "container c1");
  EXPECT_EQ(annotated.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(annotated.message(), "container c1: it left");
  EXPECT_EQ(GetReason(annotated), "GONE");
  EXPECT_EQ(GetFieldViolations(annotated).size(), 1u);
}

}  // namespace
}  // namespace ocid
