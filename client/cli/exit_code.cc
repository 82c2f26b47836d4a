#include "client/cli/exit_code.h"

#include <string>

#include "absl/status/status.h"

namespace ocid::cli {
namespace {

constexpr char kAccess[] = "13";  // EACCES
constexpr char kNoExec[] = "8";   // ENOEXEC

// A launch that failed in execve(2) because the file is no program, or none that we may run.
bool IsNotExecutable(const ApiError& error) {
  if (error.reason != "LAUNCH_FAILED") return false;
  const auto is = [&](const char* key, const char* value) {
    const auto found = error.metadata.find(key);
    return found != error.metadata.end() && found->second == value;
  };
  // The one launch step that comes of process.args is the execve itself.
  return is("spec_pointer", "/process/args") && (is("errno", kAccess) || is("errno", kNoExec));
}

}  // namespace

bool IsUnreachable(const ApiError& error) {
  return error.code == absl::StatusCode::kUnavailable && error.reason.empty();
}

bool IsAway(const ApiError& error) {
  // A server that ends cuts off what is left, without a word of its own.
  const bool cut_off = error.code == absl::StatusCode::kCancelled && error.reason.empty();
  return error.code == absl::StatusCode::kUnavailable || cut_off;
}

int ExitCodeFor(const ApiError& error, bool stands_in) {
  if (IsUnreachable(error)) return kUnreachable;
  if (error.code == absl::StatusCode::kDeadlineExceeded && error.reason.empty()) return kTimedOut;
  if (error.reason == "EXECUTABLE_NOT_FOUND") return kNotFound;
  if (IsNotExecutable(error)) return kNotExecutable;
  return stands_in ? kUnreachable : kFailure;
}

}  // namespace ocid::cli
