// Looks through a command line before CLI11 parses it: which word is the command, and where a
// container's own command line begins. CLI11 cannot tell `exec web ls -l` from options of ours.
//
// Functions of values: thread-compatible, nothing blocks.
#ifndef OCID_CLIENT_CLI_ARGUMENT_SCAN_H_
#define OCID_CLIENT_CLI_ARGUMENT_SCAN_H_

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace ocid::cli {

// The index of positional argument number `which`, from 0, of arguments that `app`'s options
// explain. An option that `app` does not have takes no value. After "--" all are positional.
std::optional<size_t> FindPositional(const CLI::App& app, const std::vector<std::string>& arguments,
                                     size_t which);

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_ARGUMENT_SCAN_H_
