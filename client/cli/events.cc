#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/proto_json.h"
#include "client/error.h"

namespace ocid::cli {
namespace {

struct Flags {
  std::string from;
  std::string filter;
  bool no_follow = false;
};

// A container that was not there before, or is not any more, has no state.
std::string StateText(v1::ContainerState state) {
  return state == v1::CONTAINER_STATE_UNSPECIFIED ? "nothing" : EnumText(state);
}

std::string Describe(const v1::Event& event) {
  std::string text;
  if (event.type() == v1::Event::GAP) {
    return absl::StrCat("events up to ", event.gap_end() - 1, " are no longer kept");
  }
  if (event.type() == v1::Event::STATE_CHANGED) {
    absl::StrAppend(&text, StateText(event.previous_state()), " -> ", StateText(event.state()));
  }
  if (!event.exec_id().empty()) absl::StrAppend(&text, "exec ", event.exec_id());
  if (event.has_exit_status()) {
    absl::StrAppend(&text, ", exit code ", event.exit_status().code());
    if (event.exit_status().oom_killed()) text += ", out of memory";
  }
  if (event.type() == v1::Event::HEALTH_CHANGED) text += EnumText(event.health());
  for (const std::string& more : {event.subject(), event.detail()}) {
    if (!more.empty()) absl::StrAppend(&text, text.empty() ? "" : ", ", more);
  }
  return text;
}

// Until the stream ends; `request` then asks for what comes next.
absl::Status Watch(Context& context, const Flags& flags, v1::WatchEventsRequest& request) {
  ServerStream<v1::Event> stream = context.client().WatchEvents(request, context.call());
  v1::Event event;
  while (!context.out().closed() && stream.Next(event)) {
    const bool bookmark = event.type() == v1::Event::BOOKMARK;
    if (context.json()) {
      context.out().Write(LineJson(ToJson(event)));
    } else if (!bookmark) {
      context.out().Write(Printable(absl::StrCat(
          FormatTime(event.time()), "  ", event.sequence(), "  ", EnumText(event.type()), "  ",
          event.container_id().empty() ? "-" : event.container_id(), "  ", Describe(event))));
      context.out().Write("\n");
    }
    const uint64_t next = event.type() == v1::Event::GAP ? event.gap_end()
                          : bookmark                     ? event.sequence()
                                                         : event.sequence() + 1;
    request.set_from_sequence(next);
    if (!flags.no_follow) context.out().Flush();
  }
  if (context.out().closed()) stream.Cancel();
  return stream.Finish();
}

int Run(Context& context, const Flags& flags) {
  v1::WatchEventsRequest request;
  uint64_t from = 0;
  if (!flags.from.empty() && !absl::SimpleAtoi(flags.from, &from)) {
    return context.Usage(
        absl::InvalidArgumentError("--from \"" + flags.from + "\": expected a sequence number"));
  }
  request.set_from_sequence(from);
  request.set_filter(flags.filter);
  request.set_no_follow(flags.no_follow);
  // New ones only: from a number that we know, so that a daemon that restarts can be asked again.
  if (from == 0) {
    const auto info = context.client().system().GetInfo(context.call());
    if (!info.ok()) return context.Fail("", info.status());
    request.set_from_sequence(info->last_event_sequence() + 1);
  }
  for (;;) {
    const absl::Status status = Watch(context, flags, request);
    if (context.out().closed() || status.ok()) return kSuccess;
    const bool again = !flags.no_follow && IsAway(DecodeError(status)) && context.AwaitDaemon();
    if (again) continue;
    context.out().Flush();
    return context.Fail("", status);
  }
}

Action Define(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("--from", flags->from,
                 "First sequence number wanted; 1: all that is kept. Default: new ones")
      ->type_name("N");
  app.add_option("--filter", flags->filter, "id=web-*, type=STATE_CHANGED; != negates")
      ->type_name("FILTER");
  app.add_flag("--no-follow", flags->no_follow, "End when everything up to now was printed");
  return [flags](Context& context) { return Run(context, *flags); };
}

}  // namespace

const CommandSpec kEventsCommand = {
    .name = "events",
    .group = "Looking",
    .summary = "What happens, as it happens: states, exits, OOM kills",
    .details =
        "Events are numbered. One that came before can be asked for by its number, and a gap says\n"
        "so where some are no longer kept. A daemon that restarts is waited for, and no event is lost\n"
        "or repeated. With --format json one object a line.",
    .examples =
        "$ ocictl events\n"
        "$ ocictl events --from 1 --no-follow --filter id=web",
    .define = Define,
};

}  // namespace ocid::cli
