// The texts of --help, made from the commands' own descriptions and options.
#ifndef OCID_CLIENT_CLI_HELP_H_
#define OCID_CLIENT_CLI_HELP_H_

#include <string>

#include "client/cli/command.h"

namespace ocid::cli {

// Options that every command has: --address --format --timeout --help. `global` must outlive `app`.
void AddGlobalOptions(CLI::App& app, GlobalOptions& global);

std::string RootHelp();
// Of a command that only has subcommands.
std::string GroupHelp(const CommandSpec& command);
// `title` is what the user types: "spec diff".
std::string CommandHelp(const CommandSpec& command, const std::string& title, const CLI::App& app);

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_HELP_H_
