#include <memory>
#include <string>
#include <vector>

#include "client/cli/commands.h"

namespace ocid::cli {
namespace {

struct Flags {
  bool force = false;
  bool dry_run = false;
  std::string request_id;
  std::vector<std::string> ids;
};

int Run(Context& context, const Flags& flags) {
  return ForEachId(context, flags.ids, [&](const std::string& id) {
    v1::DeleteContainerRequest request;
    request.set_container_id(id);
    request.set_force(flags.force);
    request.set_validate_only(flags.dry_run);
    request.set_request_id(flags.request_id);
    const absl::Status status = context.client().containers().Delete(request, context.call());
    if (status.ok()) context.PrintDone(id);
    return status;
  });
}

Action Define(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_flag("-f,--force", flags->force, "Kill it first if it runs");
  app.add_flag("--dry-run", flags->dry_run, "Check whether it could be deleted");
  app.add_option("--request-id", flags->request_id, "Makes the request safe to repeat")
      ->type_name("ID");
  app.add_option("ID", flags->ids, "Containers")->required();
  return [flags](Context& context) { return Run(context, *flags); };
}

}  // namespace

const CommandSpec kDeleteCommand = {
    .name = "delete",
    .group = "Containers",
    .summary = "Remove containers with everything they have",
    .details = "Record, log, cgroup and mounts go; the bundle stays as it is.",
    .examples =
        "$ ocictl delete web\n"
        "# All that have stopped\n"
        "$ ocictl delete $(ocictl list -q --filter state=stopped)",
    .completes = Completes::kContainers,
    .define = Define,
};

}  // namespace ocid::cli
