#include <memory>
#include <string>

#include "client/cli/attach_session.h"
#include "client/cli/commands.h"
#include "client/cli/container_flags.h"
#include "client/cli/signals.h"

namespace ocid::cli {
namespace {

struct Flags {
  bool no_stdin = false;
  std::string detach_keys = kDefaultDetachKeys;
  std::string exec_id;
  std::string id;
};

// What the process that is joined has.
struct Streams {
  bool terminal = false;
  bool input = false;
};

absl::StatusOr<Streams> GetStreams(Context& context, const Flags& flags) {
  if (!flags.exec_id.empty()) {
    v1::GetExecRequest request;
    request.set_container_id(flags.id);
    request.set_exec_id(flags.exec_id);
    const auto exec = context.client().execs().Get(request, context.call());
    if (!exec.ok()) return exec.status();
    const v1::ExecConfig& config = exec->config();
    return Streams{.terminal = config.terminal(), .input = config.terminal() || config.open_stdin()};
  }
  v1::GetContainerRequest request;
  request.set_container_id(flags.id);
  request.set_view(v1::CONTAINER_VIEW_FULL);
  const auto container = context.client().containers().Get(request, context.call());
  if (!container.ok()) return container.status();
  return Streams{.terminal = container->terminal(),
                 .input = container->terminal() || container->config().open_stdin()};
}

int Run(Context& context, const Flags& flags) {
  const absl::StatusOr<DetachKeys> detach_keys = DetachKeys::Parse(flags.detach_keys);
  if (!detach_keys.ok()) return context.Usage(FlagError("detach-keys", detach_keys.status()));
  const auto signals = SignalRelay::Start();
  if (!signals.ok()) return context.Fail(flags.id, signals.status());
  const absl::StatusOr<Streams> streams = GetStreams(context, flags);
  if (!streams.ok()) return context.Fail(flags.id, streams.status());
  auto session = AttachSession::Open(context.client(), context.stdio(), **signals,
                                     {.container_id = flags.id,
                                      .exec_id = flags.exec_id,
                                      .start_exec = false,
                                      .send_stdin = streams->input && !flags.no_stdin,
                                      .terminal = streams->terminal,
                                      .detach_keys = *detach_keys});
  if (!session.ok()) return context.Fail(flags.id, session.status());
  const auto end = (*session)->Run();
  if (!end.ok()) return context.Fail(flags.id, end.status());
  if (end->detached) {
    context.Note("\nocictl: attach " + flags.id + ": detached; it runs on");
    return DetachedCode(*end);
  }
  return end->exit.code();
}

Action Define(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_flag("--no-stdin", flags->no_stdin, "Watch only");
  app.add_option("--exec", flags->exec_id, "Join this exec of the container")->type_name("EXEC");
  AddDetachKeys(app, flags->detach_keys);
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
