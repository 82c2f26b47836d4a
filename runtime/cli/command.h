// The commands of ocirun: a table of names, flags and functions.
//
// A command gets its parsed flags and the global options, and returns the exit code of the program,
// or the error that main logs before it exits with 1. One file per command or group of commands.
#ifndef OCID_RUNTIME_CLI_COMMAND_H_
#define OCID_RUNTIME_CLI_COMMAND_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/cli/container.h"
#include "runtime/cli/flags.h"

namespace ocid {

struct Invocation {
  RuntimeOptions runtime;
  Flags flags;
  bool root_is_explicit = false;  // --root was given
};

struct Command {
  std::string_view name;
  std::string_view arguments;  // for the usage line
  std::string_view summary;
  std::vector<FlagSpec> flags;
  absl::StatusOr<int> (*run)(const Invocation&);
};

// The exit code of runc where a program could not be executed.
inline constexpr int kExitNotExecuted = 255;

// Sorted by name.
const std::vector<Command>& Commands();

// The only positional; INVALID_ARGUMENT if there are none or more.
absl::StatusOr<std::string> OnlyArgument(const Invocation& invocation);

// `text` and a line feed on standard output. Errors where nobody can read it are ignored.
void Print(std::string_view text);

// The state document as text, its members in the order that runc prints them. `indent` < 0: one
// line.
std::string StateText(const Container& container, int indent);

// Starts the container and returns, or where a service manager waits for its readiness, returns then.
absl::Status StartDetached(Container& container);

// run_command.cc
absl::StatusOr<int> RunCreate(const Invocation& invocation);
absl::StatusOr<int> RunRun(const Invocation& invocation);
std::vector<FlagSpec> CreateFlags();
std::vector<FlagSpec> RunFlags();
// lifecycle_commands.cc
absl::StatusOr<int> RunStart(const Invocation& invocation);
absl::StatusOr<int> RunState(const Invocation& invocation);
absl::StatusOr<int> RunKill(const Invocation& invocation);
absl::StatusOr<int> RunDelete(const Invocation& invocation);
absl::StatusOr<int> RunPause(const Invocation& invocation);
absl::StatusOr<int> RunResume(const Invocation& invocation);
// exec_command.cc
absl::StatusOr<int> RunExec(const Invocation& invocation);
std::vector<FlagSpec> ExecFlags();
// list_commands.cc
absl::StatusOr<int> RunList(const Invocation& invocation);
absl::StatusOr<int> RunPs(const Invocation& invocation);
// update_command.cc
absl::StatusOr<int> RunUpdate(const Invocation& invocation);
std::vector<FlagSpec> UpdateFlags();
// events_command.cc
absl::StatusOr<int> RunEvents(const Invocation& invocation);
// spec_command.cc
absl::StatusOr<int> RunSpec(const Invocation& invocation);
// checkpoint_command.cc
absl::StatusOr<int> RunCheckpoint(const Invocation& invocation);
absl::StatusOr<int> RunRestore(const Invocation& invocation);
std::vector<FlagSpec> CheckpointFlags();
std::vector<FlagSpec> RestoreFlags();
// features_command.cc
std::string VersionText();
absl::StatusOr<int> RunFeatures(const Invocation& invocation);

}  // namespace ocid

#endif  // OCID_RUNTIME_CLI_COMMAND_H_
