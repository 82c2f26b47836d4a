#include "client/error.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/unknown_field_set.h>

#include <cstdint>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"

namespace ocid {
namespace {

using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;

// Debian ships the google.rpc messages for no C++ library, and we need nine of their fields: they
// are read as unknown fields, by number.
bool Parse(const absl::Cord& bytes, UnknownFieldSet& fields) {
  return fields.ParseFromString(std::string(bytes));
}

bool Parse(const std::string& bytes, UnknownFieldSet& fields) {
  return fields.ParseFromString(bytes);
}

bool IsBytes(const UnknownField& field, int number) {
  return field.number() == number && field.type() == UnknownField::TYPE_LENGTH_DELIMITED;
}

// The last value of a string field, as proto3 has it.
std::string StringField(const UnknownFieldSet& fields, int number) {
  std::string value;
  for (int i = 0; i < fields.field_count(); ++i) {
    if (IsBytes(fields.field(i), number)) value = fields.field(i).length_delimited();
  }
  return value;
}

template <typename Visit>
void ForEachMessage(const UnknownFieldSet& fields, int number, Visit visit) {
  for (int i = 0; i < fields.field_count(); ++i) {
    if (!IsBytes(fields.field(i), number)) continue;
    UnknownFieldSet inner;
    if (Parse(fields.field(i).length_delimited(), inner)) visit(inner);
  }
}

void ReadErrorInfo(const UnknownFieldSet& info, ApiError& error) {
  error.reason = StringField(info, 1);
  error.domain = StringField(info, 2);
  ForEachMessage(info, 3, [&](const UnknownFieldSet& entry) {
    error.metadata[StringField(entry, 1)] = StringField(entry, 2);
  });
}

void ReadBadRequest(const UnknownFieldSet& request, ApiError& error) {
  ForEachMessage(request, 1, [&](const UnknownFieldSet& violation) {
    error.field_violations.push_back(
        {.field = StringField(violation, 1), .description = StringField(violation, 2)});
  });
}

void ReadPreconditionFailure(const UnknownFieldSet& failure, ApiError& error) {
  ForEachMessage(failure, 1, [&](const UnknownFieldSet& violation) {
    error.precondition_violations.push_back({.type = StringField(violation, 1),
                                             .subject = StringField(violation, 2),
                                             .description = StringField(violation, 3)});
  });
}

void ReadRetryInfo(const UnknownFieldSet& info, ApiError& error) {
  google::protobuf::Duration delay;
  if (delay.ParseFromString(StringField(info, 1))) {
    error.retry_delay = absl::Seconds(delay.seconds()) + absl::Nanoseconds(delay.nanos());
  }
}

}  // namespace

ApiError DecodeError(const absl::Status& status) {
  ApiError error;
  error.code = status.code();
  error.message = std::string(status.message());
  status.ForEachPayload([&](absl::string_view type_url, const absl::Cord& bytes) {
    UnknownFieldSet fields;
    if (!Parse(bytes, fields)) return;
    // The type is what stands behind the last slash: any.proto.
    const absl::string_view type = type_url.substr(type_url.rfind('/') + 1);
    if (type == "google.rpc.ErrorInfo") ReadErrorInfo(fields, error);
    if (type == "google.rpc.BadRequest") ReadBadRequest(fields, error);
    if (type == "google.rpc.PreconditionFailure") ReadPreconditionFailure(fields, error);
    if (type == "google.rpc.RetryInfo") ReadRetryInfo(fields, error);
  });
  return error;
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  UnknownFieldSet details;
  if (!Parse(status.error_details(), details)) return result;
  for (int i = 0; i < details.field_count(); ++i) {
    if (!IsBytes(details.field(i), 3)) continue;
    google::protobuf::Any detail;
    if (detail.ParseFromString(details.field(i).length_delimited())) {
      result.SetPayload(detail.type_url(), absl::Cord(detail.value()));
    }
  }
  return result;
}

}  // namespace ocid
