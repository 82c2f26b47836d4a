#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "client/cli/attach_session.h"
#include "client/cli/commands.h"
#include "client/cli/container_flags.h"
#include "client/cli/create_container.h"
#include "client/cli/signals.h"
#include "client/cli/terminal.h"
#include "client/error.h"

namespace ocid::cli {
namespace {

struct Flags {
  ContainerFlags container;
  bool detach = false;
  std::string detach_keys = kDefaultDetachKeys;
  std::string id;
};

absl::StatusOr<v1::Container> Start(Context& context, const std::string& id) {
  v1::StartContainerRequest request;
  request.set_container_id(id);
  return context.client().containers().Start(request, context.call());
}

// Removes the container, whatever state it is in. The daemon may have done so: --rm is its job too,
// for the case that we are killed.
absl::Status Remove(Context& context, const std::string& id) {
  v1::DeleteContainerRequest request;
  request.set_container_id(id);
  request.set_force(true);
  const absl::Status status = context.client().containers().Delete(request, context.call());
  if (DecodeError(status).reason == "CONTAINER_NOT_FOUND") return absl::OkStatus();
  return status;
}

int RunDetached(Context& context, const Flags& flags) {
  const absl::StatusOr<v1::Container> started = Start(context, flags.id);
  if (!started.ok()) {
    if (flags.container.remove) static_cast<void>(Remove(context, flags.id));
    return context.Fail(flags.id, started.status());
  }
  context.PrintDone(*started);
  return kSuccess;
}

// Attaches before the start, so that no byte is missed.
absl::StatusOr<AttachEnd> StartAndJoin(Context& context, SignalRelay& signals, const Flags& flags,
                                       const DetachKeys& detach_keys) {
  absl::StatusOr<std::unique_ptr<AttachSession>> session =
      AttachSession::Open(context.client(), context.stdio(), signals,
                          {.container_id = flags.id,
                           .exec_id = "",
                           .start_exec = false,
                           .send_stdin = flags.container.interactive,
                           .terminal = flags.container.terminal,
                           .detach_keys = detach_keys});
  if (!session.ok()) return session.status();
  const absl::StatusOr<v1::Container> started = Start(context, flags.id);
  if (!started.ok()) return started.status();
  return (*session)->Run();
}

int RunAttached(Context& context, SignalRelay& signals, const Flags& flags,
                const DetachKeys& detach_keys) {
  const absl::StatusOr<AttachEnd> end = StartAndJoin(context, signals, flags, detach_keys);
  int code = end.ok() ? end->exit.code() : context.Fail(flags.id, end.status());
  if (end.ok() && end->detached) {
    context.Note("\nocictl: run " + flags.id + ": detached; it runs on");
    return DetachedCode(*end);
  }
  if (end.ok() && !end->exit.known() && end->exit.code() != 0) {
    context.Note("ocictl: run " + flags.id + ": " + end->exit.reason());
  }
  const bool unreachable = !end.ok() && IsUnreachable(DecodeError(end.status()));
  if (flags.container.remove && !unreachable) {
    const absl::Status removed = Remove(context, flags.id);
    if (!removed.ok()) {
      const int failed = context.Fail(flags.id, removed);
      if (code == kSuccess) code = failed;
    }
  }
  return code;
}

int Run(Context& context, const Flags& flags) {
  absl::StatusOr<v1::ContainerConfig> config =
      BuildContainerConfig(flags.container, context.tail());
  if (!config.ok()) return context.Usage(config.status());
  const absl::StatusOr<DetachKeys> detach_keys = DetachKeys::Parse(flags.detach_keys);
  if (!detach_keys.ok()) return context.Usage(FlagError("detach-keys", detach_keys.status()));
  const absl::StatusOr<std::unique_ptr<SignalRelay>> signals = SignalRelay::Start();
  if (!signals.ok()) return context.Fail(flags.id, signals.status());
  const bool attached = !flags.detach && !flags.container.dry_run;
  if (attached && flags.container.terminal) {
    if (flags.container.interactive) {
      const auto size = GetConsoleSize(context.stdio().in);
      if (size.has_value()) *config->mutable_console_size() = *size;
    }
  }
  const absl::StatusOr<v1::Container> created =
      CreateContainer(context, flags.id, *std::move(config), flags.container);
  if (!created.ok()) return context.Fail(flags.id, created.status());
  if (flags.container.dry_run) {
    context.out().Write(flags.id + ": would be run\n");
    return kSuccess;
  }
  return attached ? RunAttached(context, **signals, flags, *detach_keys) : RunDetached(context, flags);
}

Action Define(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_flag("-d,--detach", flags->detach, "Run in the background and print the id");
  AddDetachKeys(app, flags->detach_keys);
  AddContainerFlags(app, flags->container);
  app.add_option("ID", flags->id, "The new container's id")->required();
  return [flags](Context& context) { return Run(context, *flags); };
}

}  // namespace

const CommandSpec kRunCommand = {
    .name = "run",
    .group = "Containers",
    .summary = "Create a container and run its program",
    .details =
        "In the foreground its output is ours, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and "
        "SIGUSR2 go\n"
        "to it, and its exit code is ours. With -t, Ctrl-P Ctrl-Q detaches and leaves it running. "
        "Where\n"
        "standard output is closed, it ends as a program here would: SIGPIPE, a second later "
        "SIGKILL.\n"
        "Words behind the ID, or behind --, replace the bundle's command.",
    .examples =
        "$ ocictl run --rm --bundle ./hello hello\n"
        "# From an image, pulled if it is not there\n"
        "$ ocictl run --rm -it --image docker.io/library/debian:12 debian -- bash\n"
        "# A shell\n"
        "$ ocictl run --rm -it --bundle ./busybox sh -- /bin/sh\n"
        "# In the background\n"
        "$ ocictl run -d --bundle ./web web\n"
        "# Through a pipe\n"
        "$ tar c . | ocictl run --rm -i --bundle ./tools count -- wc -c",
    .stands_in = true,
    .relays_signals = true,
    .takes_tail = true,
    .define = Define,
};

}  // namespace ocid::cli
