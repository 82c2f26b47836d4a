#include <memory>
#include <string>

#include "client/cli/commands.h"
#include "client/cli/proto_json.h"

namespace ocid::cli {
namespace {

int Run(Context& context, const std::string& id) {
  v1::WaitContainerRequest request;
  request.set_container_id(id);
  const auto response = context.client().containers().Wait(request, context.call());
  if (!response.ok()) return context.Fail(id, response.status());
  const v1::ExitStatus& exit = response->exit_status();
  if (context.json()) {
    context.out().Write(PrettyJson(ToJson(*response)));
  } else if (!exit.known()) {
    context.Note("ocictl: wait " + id + ": " +
                 (exit.reason().empty() ? "nobody saw it end" : exit.reason()));
  }
  return exit.code();
}

Action Define(CLI::App& app) {
  auto id = std::make_shared<std::string>();
  app.add_option("ID", *id, "A container")->required();
  return [id](Context& context) { return Run(context, *id); };
}

}  // namespace

const CommandSpec kWaitCommand = {
    .name = "wait",
    .group = "Containers",
    .summary = "Wait until a container has stopped, and exit with its code",
    .details =
        "Prints nothing; with --format json the exit status. A container that was created and\n"
        "not started yet is waited for too.",
    .examples =
        "$ ocictl wait job; echo $?\n"
        "# Not longer than a minute; exits 124 then\n"
        "$ ocictl wait --timeout 60 job",
    .completes = Completes::kContainers,
    .stands_in = true,
    .define = Define,
};

}  // namespace ocid::cli
