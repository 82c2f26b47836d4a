// ocirun: an OCI runtime with the command line of runc. See command.h and container.h.
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/cli/command.h"
#include "runtime/cli/log.h"
#include "runtime/plan/launch_host.h"

namespace ocid {
namespace {

std::vector<FlagSpec> GlobalFlags() {
  return {{"root", "", FlagKind::kValue, "directory of the containers' state"},
          {"log", "", FlagKind::kValue, "file for log entries"},
          {"log-format", "", FlagKind::kValue, "text (default) or json"},
          {"log-level", "", FlagKind::kValue, "error, warning, info (default) or debug"},
          {"debug", "", FlagKind::kSwitch, "log more"},
          {"systemd-cgroup", "", FlagKind::kSwitch, "let systemd manage cgroups"},
          {"cgroup-manager", "", FlagKind::kValue, "cgroupfs (default), systemd or disabled"},
          {"rootless", "", FlagKind::kValue,
           "do without cgroups that may not be made: true, false or auto (default)"},
          {"allow-missing-controllers", "", FlagKind::kSwitch,
           "a limit that no controller here can enforce is logged, not an error"},
          {"criu", "", FlagKind::kIgnoredValue, "accepted, without effect"},
          {"help", "h", FlagKind::kSwitch, "print this text"},
          {"version", "v", FlagKind::kSwitch, "print the version"}};
}

void AppendFlags(const std::vector<FlagSpec>& flags, std::string& text) {
  for (const FlagSpec& flag : flags) {
    const bool value = flag.kind == FlagKind::kValue || flag.kind == FlagKind::kIgnoredValue;
    std::string names = absl::StrCat("--", std::string(flag.name), value ? " VALUE" : "");
    if (!flag.short_name.empty()) absl::StrAppend(&names, ", -", std::string(flag.short_name));
    absl::StrAppend(&text, "   ", names,
                    std::string(names.size() < 26 ? 26 - names.size() : 1, ' '),
                    std::string(flag.help), "\n");
  }
}

std::string GlobalHelp() {
  std::string text =
      "NAME:\n   ocirun - run containers from OCI bundles\n\n"
      "USAGE:\n   ocirun [global options] command [command options] [arguments...]\n\nCOMMANDS:\n";
  for (const Command& command : Commands()) {
    absl::StrAppend(&text, "   ", std::string(command.name),
                    std::string(14 - command.name.size(), ' '), std::string(command.summary), "\n");
  }
  text += "\nGLOBAL OPTIONS:\n";
  AppendFlags(GlobalFlags(), text);
  text.pop_back();
  return text;
}

std::string CommandHelp(const Command& command) {
  const std::string name(command.name);
  std::string text = absl::StrCat("NAME:\n   ocirun ", name, " - ", std::string(command.summary),
                                  "\n\nUSAGE:\n   ocirun ", name, " [command options] ",
                                  std::string(command.arguments), "\n");
  if (!command.flags.empty()) text += "\nOPTIONS:\n";
  AppendFlags(command.flags, text);
  text.pop_back();
  return text;
}

const Command* FindCommand(std::string_view name) {
  for (const Command& command : Commands()) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

std::string DefaultRoot() {
  if (geteuid() == 0) return "/run/ocirun";
  const char* const runtime = getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && *runtime == '/') return absl::StrCat(runtime, "/ocirun");
  return absl::StrCat("/tmp/ocirun-", geteuid());
}

bool IsRootless() {
  const HostFacts facts = ReadHostFacts();
  return facts.uid != 0 || facts.in_user_namespace;
}

absl::StatusOr<LogOptions> ReadLogOptions(const Flags& flags) {
  LogOptions options{.target = flags.Value("log")};
  const std::string format = flags.Value("log-format", "text");
  if (format != "text" && format != "json") {
    return absl::InvalidArgumentError(absl::StrCat("invalid log-format: ", format));
  }
  options.json = format == "json";
  const std::string level = flags.Value("log-level", "info");
  const absl::StatusOr<LogLevel> parsed = ParseLogLevel(level);
  if (!parsed.ok()) return parsed.status();
  options.level = flags.Switch("debug") ? LogLevel::kDebug : *parsed;
  return options;
}

absl::StatusOr<RuntimeOptions> ReadRuntimeOptions(const Flags& flags) {
  RuntimeOptions options;
  options.root = flags.Value("root", DefaultRoot());
  while (options.root.size() > 1 && options.root.ends_with('/')) options.root.pop_back();
  std::string manager = flags.Value("cgroup-manager", "cgroupfs");
  if (manager == "disabled") manager = "none";
  if (flags.Switch("systemd-cgroup")) manager = "systemd";
  const absl::StatusOr<CgroupManagerKind> kind = ParseCgroupManagerKind(manager);
  if (!kind.ok()) return kind.status();
  options.cgroup_manager = *kind;
  const std::string rootless = flags.Value("rootless", "auto");
  if (rootless == "auto") {
    options.rootless = IsRootless();
  } else if (rootless == "true" || rootless == "false") {
    options.rootless = rootless == "true";
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("invalid --rootless ", rootless, ": must be true, false or auto"));
  }
  options.allow_missing_controllers = flags.Switch("allow-missing-controllers");
  return options;
}

int Fail(const absl::Status& status) {
  const std::vector<FieldViolation> violations = GetFieldViolations(status);
  std::string message(status.message());
  for (size_t i = 1; i < violations.size(); ++i) {
    absl::StrAppend(&message, "; ", violations[i].field, ": ", violations[i].description);
  }
  LogError(message);
  return GetReason(status) == "EXEC_FAILED" ? kExitNotExecuted : 1;
}

int RunCommand(const Command& command, const Flags& global, std::vector<std::string> words) {
  Invocation invocation{{}, Flags(command.flags), global.Has("root")};
  for (const std::string& word : words) {
    if (word == "--") break;
    if (word == "-h" || word == "--help") {
      Print(CommandHelp(command));
      return 0;
    }
    if (!word.starts_with('-')) break;
  }
  const absl::Status parsed = invocation.flags.Parse(words);
  if (!parsed.ok()) return Fail(parsed);
  const absl::StatusOr<RuntimeOptions> options = ReadRuntimeOptions(global);
  if (!options.ok()) return Fail(options.status());
  invocation.runtime = *options;
  LogDebug(absl::StrCat(std::string(command.name), ": root ", options->root, ", cgroup manager ",
                        std::string(CgroupManagerKindName(options->cgroup_manager)),
                        options->rootless ? ", rootless" : ""));
  const absl::StatusOr<int> code = command.run(invocation);
  return code.ok() ? *code : Fail(code.status());
}

int Help(const std::vector<std::string>& words) {
  if (words.size() < 2) {
    Print(GlobalHelp());
    return 0;
  }
  const Command* const command = FindCommand(words[1]);
  if (command == nullptr) {
    LogError(absl::StrCat("No help topic for '", words[1], "'"));
    return 3;
  }
  Print(CommandHelp(*command));
  return 0;
}

// A program that is started without standard descriptors must not open its own files as those.
void OpenStandardDescriptors() {
  for (;;) {
    const int fd = open("/dev/null", O_RDWR);
    if (fd < 0) return;
    if (fd > STDERR_FILENO) {
      close(fd);
      return;
    }
  }
}

int Main(const std::vector<std::string>& arguments) {
  OpenStandardDescriptors();
  Flags global(GlobalFlags());
  const absl::Status parsed = global.Parse(arguments);
  if (!parsed.ok()) return Fail(parsed);
  const absl::StatusOr<LogOptions> log_options = ReadLogOptions(global);
  if (!log_options.ok()) return Fail(log_options.status());
  const absl::Status log = OpenLog(*log_options);
  if (!log.ok()) return Fail(log);
  if (global.Switch("version")) {
    Print(VersionText());
    return 0;
  }
  const std::vector<std::string>& words = global.positionals();
  if (global.Switch("help") || words.empty() || words[0] == "help" || words[0] == "h") {
    return Help(words);
  }
  const Command* const command = FindCommand(words[0]);
  if (command == nullptr) {
    LogError(absl::StrCat("No help topic for '", words[0], "'"));
    return 3;
  }
  return RunCommand(*command, global, {words.begin() + 1, words.end()});
}

}  // namespace
}  // namespace ocid

int main(int argc, char** argv) { return ocid::Main({argv + (argc > 0 ? 1 : 0), argv + argc}); }
