#include "daemon/api/status_codec.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "proto/google/rpc/error_details.pb.h"
#include "proto/google/rpc/status.pb.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

google::rpc::Status Details(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  return details;
}

size_t TrailerBytes(const grpc::Status& status) {
  return status.error_message().size() + (status.error_details().size() + 2) / 3 * 4;
}

TEST(StatusCodec, OkIsOk) {
  EXPECT_TRUE(EncodeStatus(absl::OkStatus()).ok());
  EXPECT_TRUE(DecodeStatus(grpc::Status::OK).ok());
}

TEST(StatusCodec, ThereAndBackIsTheSameStatus) {
  absl::Status status = MakeError(absl::StatusCode::kNotFound, "CONTAINER_NOT_FOUND",
                                  "container web: not found", {{"container", "web"}});
  AddFieldViolation(status, "container_id", "is unknown");
  AddRetryInfo(status, absl::Milliseconds(1500));
  AddResourceInfo(status, "ocid.v1.Container", "web");
  const grpc::Status wire = EncodeStatus(status);
  EXPECT_EQ(wire.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(wire.error_message(), "container web: not found");
  EXPECT_EQ(DecodeStatus(wire), status);
}

TEST(StatusCodec, DetailsAreGoogleRpcMessages) {
  absl::Status status =
      MakeError(absl::StatusCode::kResourceExhausted, "BUSY", "busy", {{"a", "b"}});
  AddRetryInfo(status, absl::Milliseconds(1500));
  const google::rpc::Status details = Details(EncodeStatus(status));
  EXPECT_EQ(details.code(), 8);
  EXPECT_EQ(details.message(), "busy");
  ASSERT_EQ(details.details_size(), 2);
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "BUSY");
  EXPECT_EQ(info.domain(), "ocid");
  EXPECT_EQ(info.metadata().at("a"), "b");
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(details.details(1).UnpackTo(&retry));
  EXPECT_EQ(retry.retry_delay().seconds(), 1);
  EXPECT_EQ(retry.retry_delay().nanos(), 500'000'000);
}

TEST(StatusCodec, AnErrorWithoutReasonGetsTheGeneralOne) {
  EXPECT_EQ(GetReason(DecodeStatus(EncodeStatus(absl::InvalidArgumentError("x")))),
            "INVALID_REQUEST");
  EXPECT_EQ(GetReason(DecodeStatus(EncodeStatus(absl::InternalError("x")))), "INTERNAL");
  EXPECT_EQ(GetReason(DecodeStatus(EncodeStatus(absl::UnknownError("x")))), "INTERNAL");
}

TEST(StatusCodec, PayloadsOfOtherKindsStayInside) {
  absl::Status status = absl::InternalError("x");
  status.SetPayload("type.googleapis.com/ocid.internal.Secret", absl::Cord("s"));
  EXPECT_EQ(Details(EncodeStatus(status)).details_size(), 1);
}

TEST(StatusCodec, AThousandViolationsFitIntoTheTrailersAndTheRestIsCounted) {
  absl::Status status = MakeError(absl::StatusCode::kInvalidArgument, "SPEC_INVALID", "bad spec");
  for (int i = 0; i < 1000; ++i) {
    AddFieldViolation(status, absl::StrCat("/mounts/", i, "/destination"), "is not absolute");
  }
  const grpc::Status wire = EncodeStatus(status);
  EXPECT_LE(TrailerBytes(wire), kMaxEncodedStatusBytes);
  const auto violations = GetFieldViolations(DecodeStatus(wire));
  ASSERT_GT(violations.size(), 20u);
  EXPECT_EQ(violations[0].field, "/mounts/0/destination");
  EXPECT_EQ(violations.back().description, absl::StrCat("and ", 1001 - violations.size(), " more"));
}

TEST(StatusCodec, LongMessagesAndValuesAreCutAtACharacter) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "ä";
  const grpc::Status wire =
      EncodeStatus(MakeError(absl::StatusCode::kInternal, "LAUNCH_FAILED", text, {{"step", text}}));
  EXPECT_LE(TrailerBytes(wire), kMaxEncodedStatusBytes);
  EXPECT_EQ(wire.error_message().substr(wire.error_message().size() - 5), "ä...");
  EXPECT_EQ(GetReason(DecodeStatus(wire)), "LAUNCH_FAILED");
}

TEST(StatusCodec, OneHugeDetailOfAnotherKindIsDroppedRatherThanTheError) {
  absl::Status status = absl::InternalError("x");
  AddResourceInfo(status, "t", std::string(100'000, 'n'));
  const grpc::Status wire = EncodeStatus(status);
  EXPECT_LE(TrailerBytes(wire), kMaxEncodedStatusBytes);
  EXPECT_EQ(GetReason(DecodeStatus(wire)), "INTERNAL");
}

TEST(StatusCodec, DetailsThatDoNotParseAreDropped) {
  const absl::Status status =
      DecodeStatus(grpc::Status(grpc::StatusCode::ABORTED, "m", "\xff\xff\xff"));
  EXPECT_EQ(status, absl::AbortedError("m"));
}

}  // namespace
}  // namespace ocid
