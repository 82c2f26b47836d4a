#include "client/error.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/unknown_field_set.h>

#include <string>

#include "gtest/gtest.h"

namespace ocid {
namespace {

using google::protobuf::UnknownFieldSet;

std::string Encode(const UnknownFieldSet& fields) {
  std::string bytes;
  EXPECT_TRUE(fields.SerializeToString(&bytes));
  return bytes;
}

// A google.rpc.Status with one detail, as it stands in grpc-status-details-bin.
std::string StatusWith(const std::string& type, const UnknownFieldSet& detail) {
  google::protobuf::Any any;
  any.set_type_url("type.googleapis.com/" + type);
  any.set_value(Encode(detail));
  UnknownFieldSet status;
  status.AddVarint(1, 3);
  status.AddLengthDelimited(2, "message");
  status.AddLengthDelimited(3, any.SerializeAsString());
  return Encode(status);
}

ApiError Decode(const std::string& details) {
  return DecodeError(
      FromGrpcStatus(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "message", details)));
}

TEST(FromGrpcStatus, OkStaysOk) { EXPECT_TRUE(FromGrpcStatus(grpc::Status::OK).ok()); }

TEST(DecodeError, KeepsCodeAndMessageWhereThereAreNoDetails) {
  const ApiError error = Decode("");
  EXPECT_EQ(error.code, absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(error.message, "message");
  EXPECT_EQ(error.reason, "");
}

TEST(DecodeError, ReadsReasonDomainAndMetadata) {
  UnknownFieldSet entry;
  entry.AddLengthDelimited(1, "state");
  entry.AddLengthDelimited(2, "RUNNING");
  UnknownFieldSet info;
  info.AddLengthDelimited(1, "INVALID_STATE");
  info.AddLengthDelimited(2, "ocid");
  info.AddLengthDelimited(3, Encode(entry));
  const ApiError error = Decode(StatusWith("google.rpc.ErrorInfo", info));
  EXPECT_EQ(error.reason, "INVALID_STATE");
  EXPECT_EQ(error.domain, "ocid");
  EXPECT_EQ(error.metadata.at("state"), "RUNNING");
}

TEST(DecodeError, ReadsFieldViolationsInTheirOrder) {
  UnknownFieldSet request;
  for (const char* field : {"/process/cwd", "/root"}) {
    UnknownFieldSet violation;
    violation.AddLengthDelimited(1, field);
    violation.AddLengthDelimited(2, "required");
    request.AddLengthDelimited(1, Encode(violation));
  }
  const ApiError error = Decode(StatusWith("google.rpc.BadRequest", request));
  ASSERT_EQ(error.field_violations.size(), 2u);
  EXPECT_EQ(error.field_violations[1].field, "/root");
  EXPECT_EQ(error.field_violations[1].description, "required");
}

TEST(DecodeError, ReadsTheRetryDelay) {
  google::protobuf::Duration delay;
  delay.set_seconds(1);
  delay.set_nanos(500'000'000);
  UnknownFieldSet info;
  info.AddLengthDelimited(1, delay.SerializeAsString());
  EXPECT_EQ(Decode(StatusWith("google.rpc.RetryInfo", info)).retry_delay, absl::Seconds(1.5));
}

TEST(DecodeError, DetailsThatDoNotParseAreLeftOut) { EXPECT_EQ(Decode("\xff\xff\xff").reason, ""); }

}  // namespace
}  // namespace ocid
