// ocirun's log, in the formats of runc: entries go to what --log names, or to standard error. Callers
// of a runtime (containerd's shim, podman) read the last error from the file.
//
//   --log FILE, --log file:FILE, --log syslog:NAME, --log journald:NAME (crun's spellings)
//
// Process-wide, set up once by main. Thread-compatible. Writing may block as the file does.
#ifndef OCID_RUNTIME_CLI_LOG_H_
#define OCID_RUNTIME_CLI_LOG_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ocid {

enum class LogLevel { kError, kWarning, kInfo, kDebug };

// "error", "warning" or "warn", "info", "debug"; and runc's "trace", "fatal", "panic".
absl::StatusOr<LogLevel> ParseLogLevel(std::string_view name);

struct LogOptions {
  std::string target;  // empty: standard error only
  bool json = false;
  LogLevel level = LogLevel::kInfo;
};

// INVALID_ARGUMENT if the file cannot be opened.
absl::Status OpenLog(const LogOptions& options);

void LogDebug(absl::string_view message);
void LogInfo(absl::string_view message);
void LogWarning(absl::string_view message);
// Whatever the level; and on standard error as "ocirun: message".
void LogError(absl::string_view message);

}  // namespace ocid

#endif  // OCID_RUNTIME_CLI_LOG_H_
