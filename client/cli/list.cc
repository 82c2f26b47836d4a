#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/proto_json.h"
#include "client/cli/text.h"

namespace ocid::cli {
namespace {

struct Flags {
  bool quiet = false;
  bool no_truncation = false;
  std::string filter;
};

constexpr size_t kCommandWidth = 40;

std::string Ago(const google::protobuf::Timestamp& time, absl::Time now) {
  if (time.seconds() == 0) return "";
  return FormatShort(now - ToTime(time)) + " ago";
}

std::string CommandText(const v1::Container& container, bool whole) {
  std::string text = absl::StrJoin(container.args(), " ");
  if (!whole && text.size() > kCommandWidth) text = text.substr(0, kCommandWidth - 3) + "...";
  return text;
}

// "running (healthy)"
std::string StateText(const v1::Container& container) {
  const std::string state = EnumText(container.state());
  if (!container.has_health()) return state;
  return absl::StrCat(state, " (", EnumText(container.health().status()), ")");
}

std::string PidText(const v1::Container& container) {
  return container.pid() == 0 ? "" : absl::StrCat(container.pid());
}

int Run(Context& context, const Flags& flags) {
  v1::ListContainersRequest request;
  request.set_filter(flags.filter);
  request.set_page_size(1000);
  const auto containers = context.client().containers().ListAll(request, context.call());
  if (!containers.ok()) return context.Fail("", containers.status());
  if (flags.quiet) {
    for (const v1::Container& container : *containers) context.out().Write(container.id() + "\n");
    return kSuccess;
  }
  if (context.json()) {
    auto list = nlohmann::ordered_json::array();
    for (const v1::Container& container : *containers) list.push_back(ToJson(container));
    context.out().Write(PrettyJson(list));
    return kSuccess;
  }
  const absl::Time now = absl::Now();
  Table table({"ID", "STATE", "PID", "EXIT", "CREATED", "SOURCE", "COMMAND"});
  for (const v1::Container& container : *containers) {
    table.AddRow({container.id(), StateText(container), PidText(container),
                  container.has_exit_status() ? absl::StrCat(container.exit_status().code()) : "",
                  Ago(container.create_time(), now),
                  container.image().empty() ? container.bundle() : container.image(),
                  CommandText(container, flags.no_truncation)});
  }
  context.out().Write(table.Format());
  return kSuccess;
}

Action Define(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_flag("-q,--quiet", flags->quiet, "Ids only, one a line");
  app.add_option("--filter", flags->filter,
                 "Terms that must all hold: state=running, id=web-*, label.KEY=VALUE, label.KEY, "
                 "image=NAME; != negates")
      ->type_name("FILTER");
  app.add_flag("--no-trunc", flags->no_truncation, "Whole command lines");
  return [flags](Context& context) { return Run(context, *flags); };
}

}  // namespace

const CommandSpec kListCommand = {
    .name = "list",
    .group = "Looking",
    .summary = "List containers, in every state",
    .examples =
        "$ ocictl list\n"
        "$ ocictl list -q --filter 'state=running label.tier=web'\n"
        "$ ocictl list --format json | jq '.[] | {id, pid}'",
    .define = Define,
};

}  // namespace ocid::cli
