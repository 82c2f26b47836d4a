// One record of a container's log as the API has it. The format is that of
// runtime/supervisor/log_line.h, JSON lines.
//
// Pure; thread-safe.
#ifndef OCID_DAEMON_LOGS_LOG_RECORD_H_
#define OCID_DAEMON_LOGS_LOG_RECORD_H_

#include <string_view>

#include "proto/ocid/v1/log.pb.h"

namespace ocid {

// `line` is without its newline. A line that does not parse, as a supervisor killed in the middle
// of a write leaves one, becomes an entry of that many `lost_bytes`: that something is missing must
// not be hidden.
v1::LogEntry ParseLogRecord(std::string_view line);

}  // namespace ocid

#endif  // OCID_DAEMON_LOGS_LOG_RECORD_H_
