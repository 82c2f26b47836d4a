#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/proto_json.h"
#include "client/cli/text.h"

namespace ocid::cli {
namespace {

int Run(Context& context, const std::string& id) {
  v1::ListProcessesRequest request;
  request.set_container_id(id);
  const auto response = context.client().containers().ListProcesses(request, context.call());
  if (!response.ok()) return context.Fail(id, response.status());
  if (context.json()) {
    context.out().Write(PrettyJson(ToJson(*response)["processes"]));
    return kSuccess;
  }
  Table table({"PID", "PPID", "UID", "STATE", "RSS", "CPU", "EXEC", "COMMAND"});
  for (const auto& process : response->processes()) {
    table.AddRow({absl::StrCat(process.pid()), absl::StrCat(process.parent_pid()),
                  absl::StrCat(process.uid()), process.state(),
                  FormatSize(process.resident_bytes()), FormatShort(ToDuration(process.cpu_time())),
                  process.exec_id(), process.command()});
  }
  context.out().Write(table.Format());
  return kSuccess;
}

Action Define(CLI::App& app) {
  auto id = std::make_shared<std::string>();
  app.add_option("ID", *id, "A container that runs, or was created")->required();
  return [id](Context& context) { return Run(context, *id); };
}

}  // namespace

const CommandSpec kPsCommand = {
    .name = "ps",
    .group = "Looking",
    .summary = "The processes of a container",
    .details = "Pids and uids are the host's. EXEC names the exec a process was started by.",
    .examples = "$ ocictl ps web",
    .completes = Completes::kContainers,
    .define = Define,
};

}  // namespace ocid::cli
