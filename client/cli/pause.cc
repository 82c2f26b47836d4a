#include <memory>
#include <string>
#include <vector>

#include "client/cli/commands.h"

namespace ocid::cli {
namespace {

template <typename Request>
Action DefineWith(CLI::App& app,
                  absl::StatusOr<v1::Container> (ContainerClient::*method)(const Request&,
                                                                           CallOptions)) {
  auto ids = std::make_shared<std::vector<std::string>>();
  app.add_option("ID", *ids, "Containers")->required();
  return [ids, method](Context& context) {
    return ForEachId(context, *ids, [&](const std::string& id) {
      Request request;
      request.set_container_id(id);
      const auto container = (context.client().containers().*method)(request, context.call());
      if (container.ok()) context.PrintDone(*container);
      return container.status();
    });
  };
}

Action DefinePause(CLI::App& app) { return DefineWith(app, &ContainerClient::Pause); }
Action DefineResume(CLI::App& app) { return DefineWith(app, &ContainerClient::Resume); }

}  // namespace

const CommandSpec kPauseCommand = {
    .name = "pause",
    .group = "Containers",
    .summary = "Freeze every process of a running container",
    .examples = "$ ocictl pause web",
    .completes = Completes::kContainers,
    .define = DefinePause,
};

const CommandSpec kResumeCommand = {
    .name = "resume",
    .group = "Containers",
    .summary = "Let a paused container run on",
    .examples = "$ ocictl resume web",
    .completes = Completes::kContainers,
    .define = DefineResume,
};

}  // namespace ocid::cli
