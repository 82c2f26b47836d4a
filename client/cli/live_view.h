// A table that is shown again and again: in place on a terminal, else one below the other.
//
// Nothing of the terminal is changed but what it shows, so there is nothing to put back: Ctrl-C ends
// the program. Rows that do not fit are left out, the last line says how many. Source:
// console_codes(4).
#ifndef OCID_CLIENT_CLI_LIVE_VIEW_H_
#define OCID_CLIENT_CLI_LIVE_VIEW_H_

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/cli/command.h"

namespace ocid::cli {

struct LiveFlags {
  bool no_stream = false;
  std::string interval;
};

// --no-stream and --interval.
void AddLiveFlags(CLI::App& app, LiveFlags& flags);

// Shows what `look` returns, again after each interval; once where the output is no terminal and no
// interval was asked for, with --no-stream, and as JSON. Ends with `look`'s first failure, which it has
// told of. Returns the exit code.
int ShowLive(Context& context, const LiveFlags& flags,
             const std::function<absl::StatusOr<std::string>()>& look);

// `text` cut to a screen, each line cleared to its end, for drawing over what was there.
std::string FitScreen(std::string_view text, size_t rows, size_t columns);

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_LIVE_VIEW_H_
