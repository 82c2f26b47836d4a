// Whole files: reading one with a limit, replacing one so that no reader sees half of it.
//
// Thread-safe. Blocks on the file system. Errors are those of the system, with the path.
#ifndef OCID_RUNTIME_CLI_FILES_H_
#define OCID_RUNTIME_CLI_FILES_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ocid {

// At most 16 MiB. "-" is standard input.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path);

// Mode 0644.
absl::Status ReplaceFile(const std::string& path, std::string_view bytes);

}  // namespace ocid

#endif  // OCID_RUNTIME_CLI_FILES_H_
