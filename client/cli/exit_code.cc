#include "client/cli/exit_code.h"

#include <string>

#include "absl/status/status.h"

namespace ocid::cli {
namespace {

// A launch that failed in execve(2) because the file is no program, or none that we may run.
bool IsNotExecutable(const ApiError& error) {
  if (error.reason != "LAUNCH_FAILED") return false;
  const auto cause = error.metadata.find("errno");
  if (cause == error.metadata.end()) return false;
  const auto step = error.metadata.find("step");
  const bool in_exec =
      step == error.metadata.end() || step->second.find("exec") != std::string::npos;
  return in_exec && (cause->second == "EACCES" || cause->second == "ENOEXEC" ||
                     cause->second == "13" || cause->second == "8");
}

}  // namespace

bool IsUnreachable(const ApiError& error) {
  return error.code == absl::StatusCode::kUnavailable && error.reason.empty();
}

int ExitCodeFor(const ApiError& error, bool stands_in) {
  if (IsUnreachable(error)) return kUnreachable;
  if (error.code == absl::StatusCode::kDeadlineExceeded && error.reason.empty()) return kTimedOut;
  if (error.reason == "EXECUTABLE_NOT_FOUND") return kNotFound;
  if (IsNotExecutable(error)) return kNotExecutable;
  return stands_in ? kUnreachable : kFailure;
}

}  // namespace ocid::cli
