#include "client/cli/live_view.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/cli/container_flags.h"
#include "client/cli/terminal.h"
#include "client/cli/text.h"

namespace ocid::cli {
namespace {

constexpr absl::Duration kInterval = absl::Seconds(1);
constexpr absl::Duration kShortestInterval = absl::Milliseconds(100);
constexpr std::string_view kHome = "\x1b[H";
constexpr std::string_view kClearLine = "\x1b[K";
constexpr std::string_view kClearBelow = "\x1b[J";
constexpr std::string_view kClearScreen = "\x1b[2J";

// As many bytes of UTF-8 as make `columns` characters.
std::string_view FirstColumns(std::string_view line, size_t columns) {
  size_t at = 0;
  for (; at < line.size(); ++at) {
    const bool begins = (static_cast<unsigned char>(line[at]) & 0xc0) != 0x80;
    if (begins && columns-- == 0) break;
  }
  return line.substr(0, at);
}

}  // namespace

std::string FitScreen(std::string_view text, size_t rows, size_t columns) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    lines.push_back(text.substr(0, newline));
    text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
  }
  // The cursor has the last row of the screen.
  const size_t room = rows > 2 ? rows - 1 : 1;
  std::string more;
  if (lines.size() > room) {
    more = absl::StrCat("... and ", lines.size() - (room - 1), " more");
    lines.resize(room - 1);
    lines.push_back(more);
  }
  std::string screen;
  for (const std::string_view line : lines) {
    screen.append(FirstColumns(line, columns)).append(kClearLine).append("\n");
  }
  return screen.append(kClearBelow);
}

void AddLiveFlags(CLI::App& app, LiveFlags& flags) {
  app.add_flag("--no-stream", flags.no_stream, "Print once, also on a terminal");
  app.add_option("--interval", flags.interval,
                 "Show again after this long, until interrupted. Default on a terminal: 1")
      ->type_name("SECONDS");
}

int ShowLive(Context& context, const LiveFlags& flags,
             const std::function<absl::StatusOr<std::string>()>& look) {
  absl::Duration interval = kInterval;
  if (!flags.interval.empty()) {
    const absl::StatusOr<absl::Duration> given = ParseDuration(flags.interval);
    if (!given.ok()) return context.Usage(FlagError("interval", given.status()));
    interval = std::max(*given, kShortestInterval);
  }
  const bool on_screen = context.out().is_terminal() && !context.json();
  const bool repeat = !flags.no_stream && (on_screen || !flags.interval.empty());
  for (bool first = true;; first = false) {
    const absl::StatusOr<std::string> text = look();
    if (!text.ok()) return context.Fail("", text.status());
    const auto size = GetConsoleSize(context.stdio().out);
    if (repeat && on_screen && size.has_value()) {
      if (first) context.out().Write(kClearScreen);
      context.out().Write(kHome);
      context.out().Write(FitScreen(*text, size->rows(), size->columns()));
    } else {
      context.out().Write(*text);
    }
    context.out().Flush();
    if (!repeat || context.out().closed()) return kSuccess;
    absl::SleepFor(interval);
  }
}

}  // namespace ocid::cli
