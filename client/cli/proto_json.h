// Messages of the API as the JSON that ocictl prints.
//
// Not protobuf's own JSON mapping, which scripts find awkward: here names are the proto's, 64-bit
// numbers are numbers, enum values are lower-case without their type's prefix ("running"),
// durations are seconds as a number, times are RFC 3339 in UTC. Scalars and lists are always there;
// messages and `optional` fields where they are set. Strings that hold JSON are that JSON,
// under the name without _json.
//
// Functions of values: thread-compatible, nothing blocks.
#ifndef OCID_CLIENT_CLI_PROTO_JSON_H_
#define OCID_CLIENT_CLI_PROTO_JSON_H_

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <nlohmann/json.hpp>
#include <string>

#include "absl/time/time.h"

namespace ocid::cli {

nlohmann::ordered_json ToJson(const google::protobuf::Message& message);

absl::Time ToTime(const google::protobuf::Timestamp& timestamp);
absl::Duration ToDuration(const google::protobuf::Duration& duration);
void SetTimestamp(absl::Time time, google::protobuf::Timestamp& out);
void SetDuration(absl::Duration duration, google::protobuf::Duration& out);

// "2026-11-22T20:24:58.123456789Z"; empty for a time that is not set (zero).
std::string FormatTime(const google::protobuf::Timestamp& timestamp);

// The name of an enum's value in lower case, without the prefix all its values share:
// CONTAINER_STATE_RUNNING is "running".
std::string EnumText(const google::protobuf::EnumDescriptor& type, int number);

template <typename Enum>
std::string EnumText(Enum value) {
  return EnumText(*google::protobuf::GetEnumDescriptor<Enum>(), value);
}

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_PROTO_JSON_H_
