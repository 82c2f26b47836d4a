#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/container_flags.h"
#include "client/cli/proto_json.h"
#include "client/cli/text.h"

namespace ocid::cli {
namespace {

struct Flags {
  std::string time;
  std::string signal;
  std::string request_id;
  std::vector<std::string> ids;
};

int Run(Context& context, const Flags& flags) {
  std::optional<absl::Duration> grace;
  if (!flags.time.empty()) {
    const absl::StatusOr<absl::Duration> parsed = ParseDuration(flags.time);
    if (!parsed.ok()) return context.Usage(FlagError("time", parsed.status()));
    grace = *parsed;
  }
  return ForEachId(context, flags.ids, [&](const std::string& id) {
    v1::StopContainerRequest request;
    request.set_container_id(id);
    if (grace.has_value()) SetDuration(*grace, *request.mutable_grace());
    request.set_signal(flags.signal);
    request.set_request_id(flags.request_id);
    const auto container = context.client().containers().Stop(request, context.call());
    if (container.ok()) context.PrintDone(*container);
    return container.status();
  });
}

Action Define(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option(
         "--time", flags->time,
         "How long it may take to end by itself: seconds, or 1m30s. 0: kill at once. Default: 10")
      ->type_name("SECONDS");
  app.add_option("-s,--signal", flags->signal, "Signal to send first. Default: its stop signal")
      ->type_name("SIGNAL");
  app.add_option("--request-id", flags->request_id, "Makes the request safe to repeat")
      ->type_name("ID");
  app.add_option("ID", flags->ids, "Containers")->required();
  return [flags](Context& context) { return Run(context, *flags); };
}

}  // namespace

const CommandSpec kStopCommand = {
    .name = "stop",
    .group = "Containers",
    .summary = "Ask a container to end, and kill it when it does not",
    .details =
        "Returns when it has stopped. Stopping a stopped container does nothing and succeeds.",
    .examples =
        "$ ocictl stop web\n"
        "# Half a minute to say goodbye\n"
        "$ ocictl stop --time 30 web db",
    .completes = Completes::kContainers,
    .define = Define,
};

}  // namespace ocid::cli
