#include "client/cli/app.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/cli/argument_scan.h"
#include "client/cli/command.h"
#include "client/cli/help.h"
#include "client/cli/signals.h"

namespace ocid::cli {
namespace {

const CommandSpec* FindCommand(std::span<const CommandSpec* const> commands,
                               std::string_view name) {
  for (const CommandSpec* command : commands) {
    if (command->name == name) return command;
  }
  return nullptr;
}

int UsageError(const Stdio& stdio, const std::string& text) {
  Output(stdio.err).Write(absl::StrCat("ocictl: ", text, "\n"));
  return kUsage;
}

bool WantsHelp(const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) {
    if (argument == "--") return false;
    if (argument == "--help" || argument == "-h") return true;
  }
  return false;
}

// Everything that the parser of one command knows.
struct Parser {
  CLI::App app;
  Action action;
};

void Define(const CommandSpec& command, GlobalOptions& global, Parser& parser) {
  parser.app.set_help_flag();
  parser.action = command.define(parser.app);
  AddGlobalOptions(parser.app, global);
}

// Takes the subcommand's name out of the arguments; without one, the default is meant.
absl::StatusOr<const CommandSpec*> SelectSubcommand(const CommandSpec& command,
                                                    std::vector<std::string>& arguments) {
  Parser parser;
  GlobalOptions global;
  parser.app.set_help_flag();
  // Options of the default may stand before its first argument.
  if (command.default_subcommand != nullptr) command.default_subcommand->define(parser.app);
  AddGlobalOptions(parser.app, global);
  const std::optional<size_t> first = FindPositional(parser.app, arguments, 0);
  if (first.has_value()) {
    const CommandSpec* subcommand = FindCommand(command.subcommands, arguments[*first]);
    if (subcommand != nullptr) {
      arguments.erase(arguments.begin() + static_cast<std::ptrdiff_t>(*first));
      return subcommand;
    }
    if (command.default_subcommand != nullptr) return command.default_subcommand;
    return absl::InvalidArgumentError(absl::StrCat("no subcommand \"", arguments[*first], "\""));
  }
  return nullptr;
}

// Removes the second positional argument and all behind it from `arguments`, and a "--" before it.
// A "--" before the first one only ends the options: an id may begin with '-'.
std::vector<std::string> TakeTail(const CLI::App& app, std::vector<std::string>& arguments) {
  const std::optional<size_t> second = FindPositional(app, arguments, 1);
  if (!second.has_value()) return {};
  auto begin = arguments.begin() + static_cast<std::ptrdiff_t>(*second);
  if (*begin == "--") ++begin;  // the options had ended before the id
  std::vector<std::string> tail(begin, arguments.end());
  arguments.erase(arguments.begin() + static_cast<std::ptrdiff_t>(*second), arguments.end());
  if (arguments.back() == "--" && *FindPositional(app, arguments, 0) + 2 == arguments.size()) {
    arguments.pop_back();
  }
  return tail;
}

int Finish(Context& context, int code) {
  context.out().Flush();
  if (context.out().error() != 0) {
    context.Note(absl::StrCat("ocictl: standard output: ", std::strerror(context.out().error())));
    return code == kSuccess ? kFailure : code;
  }
  if (context.out().closed() && code == kSuccess) return kReaderGone;
  return code;
}

int RunCommand(const CommandSpec& command, const std::string& title,
               std::vector<std::string> arguments, Stdio stdio) {
  Context context(command, title, stdio);
  Parser parser;
  Define(command, context.global(), parser);
  if (command.takes_tail) context.set_tail(TakeTail(parser.app, arguments));
  if (WantsHelp(arguments)) {
    context.out().Write(CommandHelp(command, title, parser.app));
    return Finish(context, kSuccess);
  }
  try {
    // CLI11 takes them from the end.
    parser.app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    return context.Usage(absl::InvalidArgumentError(error.what()));
  }
  // Before Prepare(): gRPC starts threads.
  if (command.relays_signals) SignalRelay::Block();
  if (!command.offline) {
    if (const absl::Status status = context.Prepare(); !status.ok()) return context.Usage(status);
  }
  return Finish(context, parser.action(context));
}

}  // namespace

int RunApp(std::vector<std::string> arguments, Stdio stdio) {
  CLI::App root;
  GlobalOptions global;
  root.set_help_flag();
  AddGlobalOptions(root, global);
  const std::optional<size_t> first = FindPositional(root, arguments, 0);
  if (!first.has_value()) {
    if (WantsHelp(arguments)) {
      Output(stdio.out).Write(RootHelp());
      return kSuccess;
    }
    for (const std::string& argument : arguments) {
      if (argument == "--version") return RunApp({"version", "--client"}, stdio);
    }
    if (!arguments.empty()) {
      return UsageError(
          stdio, absl::StrCat("no command in \"", arguments.front(), "\"; see `ocictl --help`"));
    }
    Output(stdio.err).Write(RootHelp());
    return kUsage;
  }
  const std::string name = arguments[*first];
  arguments.erase(arguments.begin() + static_cast<std::ptrdiff_t>(*first));
  if (name == "help") {
    if (arguments.empty()) {
      Output(stdio.out).Write(RootHelp());
      return kSuccess;
    }
    arguments.push_back("--help");
    return RunApp(std::move(arguments), stdio);
  }
  const CommandSpec* command = FindCommand(Commands(), name);
  if (command == nullptr) {
    return UsageError(stdio, absl::StrCat("no command \"", name, "\"; see `ocictl --help`"));
  }
  std::string title = name;
  if (!command->subcommands.empty()) {
    const absl::StatusOr<const CommandSpec*> subcommand = SelectSubcommand(*command, arguments);
    if (!subcommand.ok()) {
      return UsageError(stdio, absl::StrCat(name, ": ", subcommand.status().message(),
                                            "; see `ocictl ", name, " --help`"));
    }
    if (*subcommand == nullptr) {
      const bool asked = !arguments.empty();
      Output(asked ? stdio.out : stdio.err).Write(GroupHelp(*command));
      return asked ? kSuccess : kUsage;
    }
    command = *subcommand;
    absl::StrAppend(&title, " ", std::string(command->name));
  }
  return RunCommand(*command, title, std::move(arguments), stdio);
}

}  // namespace ocid::cli
