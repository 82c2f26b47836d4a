// Completion scripts for shells, made from the commands' own descriptions and options.
//
// Functions of values: thread-compatible, nothing blocks.
#ifndef OCID_CLIENT_CLI_COMPLETION_H_
#define OCID_CLIENT_CLI_COMPLETION_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace ocid::cli {

// For "bash", "zsh" or "fish". INVALID_ARGUMENT for another. The scripts ask `ocictl list -q` for
// container ids, with OCID_ADDRESS as it is.
absl::StatusOr<std::string> CompletionScript(std::string_view shell);

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_COMPLETION_H_
