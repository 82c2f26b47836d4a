#include <memory>
#include <string>
#include <vector>

#include "client/cli/commands.h"

namespace ocid::cli {
namespace {

struct Flags {
  std::vector<std::string> ids;
  std::string request_id;
};

int Run(Context& context, const Flags& flags) {
  return ForEachId(context, flags.ids, [&](const std::string& id) {
    v1::StartContainerRequest request;
    request.set_container_id(id);
    request.set_request_id(flags.request_id);
    const auto container = context.client().containers().Start(request, context.call());
    if (container.ok()) context.PrintDone(*container);
    return container.status();
  });
}

Action Define(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("--request-id", flags->request_id, "Makes the request safe to repeat")
      ->type_name("ID");
  app.add_option("ID", flags->ids, "Containers, created or stopped")->required();
  return [flags](Context& context) { return Run(context, *flags); };
}

}  // namespace

const CommandSpec kStartCommand = {
    .name = "start",
    .group = "Containers",
    .summary = "Run the program of a created or stopped container",
    .details =
        "Returns when the program runs; `wait` waits for its end. Starting a stopped container\n"
        "makes a new generation of it from the same request.",
    .examples = "$ ocictl start web",
    .completes = Completes::kContainers,
    .define = Define,
};

}  // namespace ocid::cli
