#include <memory>
#include <utility>

#include "client/cli/commands.h"
#include "client/cli/container_flags.h"
#include "client/cli/create_container.h"
#include "client/cli/proto_json.h"

namespace ocid::cli {
namespace {

struct Flags {
  ContainerFlags container;
  std::string id;
};

int Run(Context& context, const Flags& flags) {
  absl::StatusOr<v1::ContainerConfig> config =
      BuildContainerConfig(flags.container, context.tail());
  if (!config.ok()) return context.Usage(config.status());
  const absl::StatusOr<v1::Container> container =
      CreateContainer(context, flags.id, *std::move(config), flags.container);
  if (!container.ok()) return context.Fail(flags.id, container.status());
  if (flags.container.dry_run && !context.json()) {
    context.out().Write(flags.id + ": would be created\n");
  } else {
    context.PrintDone(*container);
  }
  return kSuccess;
}

Action Define(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  AddContainerFlags(app, flags->container);
  app.add_option("ID", flags->id, "The new container's id")->required();
  return [flags](Context& context) { return Run(context, *flags); };
}

}  // namespace

const CommandSpec kCreateCommand = {
    .name = "create",
    .group = "Containers",
    .summary = "Make a container from a bundle; start runs its program",
    .details =
        "Everything is set up when it returns: namespaces, mounts, devices, limits. `start` runs\n"
        "the program. Either all of the container exists then, or nothing of it. Words behind\n"
        "the ID, or behind --, replace the bundle's command.",
    .examples =
        "# From the bundle in the working directory\n"
        "$ ocictl create web\n"
        "# With a device, a variable and half a CPU\n"
        "$ ocictl create --bundle ./web --device vendor.com/gpu=0 -e MODE=test --cpus 0.5 web\n"
        "# Another command than the bundle's\n"
        "$ ocictl create --bundle ./web web -- /bin/server --port 80\n"
        "# Would it work?\n"
        "$ ocictl create --dry-run --bundle ./web web",
    .takes_tail = true,
    .define = Define,
};

}  // namespace ocid::cli
