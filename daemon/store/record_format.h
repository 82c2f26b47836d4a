// The frame around each file in which the daemon keeps a protobuf message.
//
//   offset  bytes
//        0      8  magic "ocidrec\n"
//        8      4  schema version, 1
//       12      4  kind of the message: RecordKind
//       16      8  length of the payload
//       24      4  CRC-32C of bytes 0..23 and the payload
//       28         payload: the message in its wire format, to the end of the file
//
// Numbers are little-endian. A file is whole or it is an error: cut short, longer than it says, or
// changed anywhere, it is DATA_LOSS, RECORD_CORRUPT. A newer schema version is FAILED_PRECONDITION.
// Pure functions; thread-safe.
#ifndef OCID_DAEMON_STORE_RECORD_FORMAT_H_
#define OCID_DAEMON_STORE_RECORD_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace ocid {

enum class RecordKind : uint32_t {
  kContainer = 1,  // ContainerRecord
  kState = 2,      // RuntimeState
  kExec = 3,       // ExecIntent
};

inline constexpr size_t kRecordHeaderBytes = 28;
// A reader refuses larger files before it reads them.
inline constexpr size_t kMaxRecordBytes = size_t{128} << 20;

std::string FrameRecord(RecordKind kind, std::string_view payload);

// The payload, as a part of `file`.
absl::StatusOr<std::string_view> ParseRecord(RecordKind kind, std::string_view file);

}  // namespace ocid

#endif  // OCID_DAEMON_STORE_RECORD_FORMAT_H_
