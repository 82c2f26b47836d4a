#include <memory>
#include <string>

#include "client/cli/commands.h"

namespace ocid::cli {
namespace {

struct Flags {
  bool all = false;
  std::string signal_option;
  std::string id;
  std::string signal;
};

int Run(Context& context, const Flags& flags) {
  if (!flags.signal.empty() && !flags.signal_option.empty()) {
    return context.Usage(absl::InvalidArgumentError("two signals"));
  }
  v1::KillContainerRequest request;
  request.set_container_id(flags.id);
  request.set_signal(flags.signal.empty() ? flags.signal_option : flags.signal);
  request.set_all(flags.all);
  if (flags.all && request.signal().empty()) request.set_signal("SIGKILL");
  const absl::Status status = context.client().containers().Kill(request, context.call());
  if (!status.ok()) return context.Fail(flags.id, status);
  context.PrintDone(flags.id);
  return kSuccess;
}

Action Define(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_flag("-a,--all", flags->all, "To every process of the container; only SIGKILL");
  app.add_option("-s,--signal", flags->signal_option, "The same as the argument SIGNAL")
      ->type_name("SIGNAL");
  app.add_option("ID", flags->id, "A container")->required();
  app.add_option("SIGNAL", flags->signal,
                 "A name or a number. Default: SIGTERM; with --all SIGKILL");
  return [flags](Context& context) { return Run(context, *flags); };
}

}  // namespace

const CommandSpec kKillCommand = {
    .name = "kill",
    .group = "Containers",
    .summary = "Send a signal to a container's main process",
    .details = "Returns when the signal was sent; `wait` waits for what it does.",
    .examples =
        "$ ocictl kill web HUP\n"
        "$ ocictl kill --all web KILL",
    .completes = Completes::kContainers,
    .define = Define,
};

}  // namespace ocid::cli
