#include <memory>
#include <string>

#include "client/cli/attach_session.h"
#include "client/cli/commands.h"
#include "client/cli/signals.h"

namespace ocid::cli {
namespace {

struct Flags {
  bool no_stdin = false;
  std::string id;
};

int Run(Context& context, const Flags& flags) {
  const auto signals = SignalRelay::Start();
  if (!signals.ok()) return context.Fail(flags.id, signals.status());
  v1::GetContainerRequest request;
  request.set_container_id(flags.id);
  request.set_view(v1::CONTAINER_VIEW_FULL);
  const auto container = context.client().containers().Get(request, context.call());
  if (!container.ok()) return context.Fail(flags.id, container.status());
  const bool has_stdin = container->terminal() || container->config().open_stdin();
  auto session = AttachSession::Open(context.client(), context.stdio(), **signals,
                                     {.container_id = flags.id,
                                      .exec_id = "",
                                      .start_exec = false,
                                      .send_stdin = has_stdin && !flags.no_stdin,
                                      .terminal = container->terminal()});
  if (!session.ok()) return context.Fail(flags.id, session.status());
  const auto end = (*session)->Run();
  if (!end.ok()) return context.Fail(flags.id, end.status());
  if (end->detached) {
    context.Note("\nocictl: attach " + flags.id + ": detached; it runs on");
    return kSuccess;
  }
  return end->exit.code();
}

Action Define(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_flag("--no-stdin", flags->no_stdin, "Watch only");
  app.add_option("ID", flags->id, "A container")->required();
  return [flags](Context& context) { return Run(context, *flags); };
}

}  // namespace

const CommandSpec kAttachCommand = {
    .name = "attach",
    .group = "Containers",
    .summary = "Join the standard streams of a container's main process",
    .details =
        "As in run: signals go to it, its exit code is ours, and with a terminal Ctrl-P Ctrl-Q\n"
        "detaches. Whoever was attached before is sent away.",
    .examples = "$ ocictl attach web",
    .completes = Completes::kContainers,
    .stands_in = true,
    .relays_signals = true,
    .define = Define,
};

}  // namespace ocid::cli
