// ocirun's log, in the formats of runc: the file of --log (text or json), and plain messages on
// standard error. Callers of a runtime (containerd's shim, podman) read the last error from the
// file.
//
// Process-wide, set up once by main. Thread-compatible. Writing may block as the file does.
#ifndef OCID_RUNTIME_CLI_LOG_H_
#define OCID_RUNTIME_CLI_LOG_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ocid {

struct LogOptions {
  std::string file;  // empty: standard error only
  bool json = false;
  bool debug = false;
};

// INVALID_ARGUMENT if the file cannot be opened.
absl::Status OpenLog(const LogOptions& options);

void LogInfo(absl::string_view message);     // to the file alone, with --debug
void LogWarning(absl::string_view message);  // to the file, or to standard error
// To the file, and on standard error as "ocirun: message".
void LogError(absl::string_view message);

}  // namespace ocid

#endif  // OCID_RUNTIME_CLI_LOG_H_
