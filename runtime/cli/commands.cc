#include <errno.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "runtime/cli/command.h"

namespace ocid {

const std::vector<Command>& Commands() {
  static const auto* const commands = new std::vector<Command>{
      {"checkpoint", "ID", "save a running container (not supported)", CheckpointFlags(),
       &RunCheckpoint},
      {"create", "ID", "create a container", CreateFlags(), &RunCreate},
      {"delete",
       "ID",
       "delete what a stopped container holds",
       {{"force", "f", FlagKind::kSwitch, "kill it first if it runs"},
        {"regex", "r", FlagKind::kSwitch, "ID is a regular expression"}},
       &RunDelete},
      {"events",
       "ID",
       "print events and statistics of a container",
       {{"interval", "", FlagKind::kValue, "between two statistics; default 5s"},
        {"stats", "", FlagKind::kSwitch, "print statistics once and exit"}},
       &RunEvents},
      {"exec", "ID COMMAND [ARGUMENT...]", "run a process more in a container", ExecFlags(),
       &RunExec},
      {"features", "", "print what this runtime can do", {}, &RunFeatures},
      {"kill",
       "ID [SIGNAL]",
       "send a signal to a container's first process",
       {{"all", "a", FlagKind::kSwitch, "to all of its processes"},
        {"regex", "r", FlagKind::kSwitch, "ID is a regular expression"}},
       &RunKill},
      {"list",
       "",
       "list containers",
       {{"format", "f", FlagKind::kValue, "table (default) or json"},
        {"quiet", "q", FlagKind::kSwitch, "IDs only"}},
       &RunList},
      {"pause", "ID", "suspend all processes of a container", {}, &RunPause},
      {"ps",
       "ID [PS OPTION...]",
       "list the processes of a container",
       {{"format", "f", FlagKind::kValue, "table (default) or json"}},
       &RunPs},
      {"restore", "ID", "restore a saved container (not supported)", RestoreFlags(), &RunRestore},
      {"resume", "ID", "go on with a paused container", {}, &RunResume},
      {"run", "ID", "create and start a container", RunFlags(), &RunRun},
      {"spec",
       "",
       "write a new configuration, or check one",
       {{"bundle", "b", FlagKind::kValue, "directory to write config.json into"},
        {"file", "f", FlagKind::kValue, "file to write in place of config.json"},
        {"rootless", "", FlagKind::kSwitch, "for a container without privileges on the host"},
        {"validate", "", FlagKind::kValue, "print what is wrong with the bundle's config.json"}},
       &RunSpec},
      {"start", "ID", "run the program of a created container", {}, &RunStart},
      {"state", "ID", "print the state of a container", {}, &RunState},
      {"update", "ID", "change the limits of a container", UpdateFlags(), &RunUpdate},
  };
  return *commands;
}

absl::StatusOr<std::string> OnlyArgument(const Invocation& invocation) {
  const std::vector<std::string>& words = invocation.flags.positionals();
  if (words.size() == 1 && !words[0].empty()) return words[0];
  return absl::InvalidArgumentError(words.empty() ? "needs a container ID"
                                                  : "needs exactly one container ID");
}

void Print(std::string_view text) {
  std::string line(text);
  line += '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t size = write(STDOUT_FILENO, rest.data(), rest.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return;
    rest.remove_prefix(static_cast<size_t>(size));
  }
}

}  // namespace ocid
