// What ocictl exits with.
//
//     0        success
//     1        the daemon refused, or the command failed
//     2        the command line is wrong
//     124      --timeout has passed
//     125      nobody answers at the address; for run, exec and wait also every failure that is not
//              the container's own, so that it cannot be taken for the container's exit code
//     126      the program is there and cannot be executed
//     127      the program was not found in the container
//     128 + N  (run, exec, wait) the process was ended by signal N
//     141      the reader of standard output went away
//
// run, exec and wait exit with the process's own code.
#ifndef OCID_CLIENT_CLI_EXIT_CODE_H_
#define OCID_CLIENT_CLI_EXIT_CODE_H_

#include "client/error.h"

namespace ocid::cli {

enum ExitCode : int {
  kSuccess = 0,
  kFailure = 1,
  kUsage = 2,
  kTimedOut = 124,
  kUnreachable = 125,
  kNotExecutable = 126,
  kNotFound = 127,
  kReaderGone = 141,
};

// `stands_in`: the command stands in for a process and exits with its code.
int ExitCodeFor(const ApiError& error, bool stands_in);

// Whether `error` says that nobody answered, rather than that the daemon said no.
bool IsUnreachable(const ApiError& error);

// Nobody answered, or a daemon that was shutting down: it may be back in a moment.
bool IsAway(const ApiError& error);

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_EXIT_CODE_H_
