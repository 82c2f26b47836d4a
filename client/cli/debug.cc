#include <string>

#include "client/cli/commands.h"

namespace ocid::cli {
namespace {

int Dump(Context& context) {
  const auto dump = context.client().system().DumpDebug(context.call());
  if (!dump.ok()) return context.Fail("", dump.status());
  context.out().Write(dump->json() + "\n");
  return kSuccess;
}

const CommandSpec kDumpCommand = {
    .name = "dump",
    .summary = "What the daemon is doing, as JSON",
    .details =
        "Containers and what waits for them, threads and where they wait, connections, memory,\n"
        "descriptors and the configuration in force. For admins. Where the daemon does not answer,\n"
        "SIGUSR1 makes it write the same to a file in its state directory.",
    .examples = "$ ocictl debug dump | jq .connections",
    .define = [](CLI::App&) -> Action { return Dump; },
};

const CommandSpec* const kSubcommands[] = {&kDumpCommand};

}  // namespace

const CommandSpec kDebugCommand = {
    .name = "debug",
    .group = "The daemon and ocictl",
    .summary = "Look into the daemon",
    .subcommands = kSubcommands,
};

}  // namespace ocid::cli
