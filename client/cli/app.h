// ocictl as a function: what main() calls, and tests too.
#ifndef OCID_CLIENT_CLI_APP_H_
#define OCID_CLIENT_CLI_APP_H_

#include <string>
#include <vector>

#include "client/cli/output.h"

namespace ocid::cli {

// Runs one command line, without the program's name, and returns its exit code (see exit_code.h).
// Blocks as long as the command does. Reads OCID_ADDRESS. Expects SIGPIPE to be ignored.
int RunApp(std::vector<std::string> arguments, Stdio stdio);

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_APP_H_
