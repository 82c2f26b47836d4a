#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/attach_session.h"
#include "client/cli/commands.h"
#include "client/cli/container_flags.h"
#include "client/cli/proto_json.h"
#include "client/cli/signals.h"
#include "client/cli/terminal.h"
#include "client/cli/text.h"

namespace ocid::cli {
namespace {

struct Flags {
  bool interactive = false;
  bool terminal = false;
  bool detach = false;
  std::string detach_keys = kDefaultDetachKeys;
  std::vector<std::string> env;
  std::string cwd;
  std::string user;
  std::vector<std::string> capabilities;
  bool no_new_privileges = false;
  std::string exec_id;
  std::string request_id;
  std::string id;
};

absl::StatusOr<v1::ExecConfig> BuildConfig(const Context& context, const Flags& flags) {
  v1::ExecConfig config;
  if (context.tail().empty()) {
    return absl::InvalidArgumentError("a command is missing: ocictl exec ID -- COMMAND [ARGS...]");
  }
  for (const std::string& arg : context.tail()) config.add_args(arg);
  if (absl::Status status = AddEnvironment(flags.env, *config.mutable_env()); !status.ok()) {
    return status;
  }
  if (!flags.user.empty()) {
    absl::StatusOr<v1::User> user = ParseUser(flags.user);
    if (!user.ok()) return FlagError("user", user.status());
    *config.mutable_user() = *std::move(user);
  }
  if (!flags.cwd.empty()) config.set_cwd(flags.cwd);
  for (const std::string& capability : flags.capabilities) {
    config.add_added_capabilities(capability);
  }
  if (flags.no_new_privileges) config.set_no_new_privileges(true);
  config.set_terminal(flags.terminal);
  config.set_open_stdin(flags.interactive);
  if (flags.terminal && flags.interactive) {
    const auto size = GetConsoleSize(context.stdio().in);
    if (size.has_value()) *config.mutable_console_size() = *size;
  }
  // A detached exec's exit status is for whoever asks later.
  config.set_auto_delete(!flags.detach);
  return config;
}

int Join(Context& context, SignalRelay& signals, const Flags& flags, const DetachKeys& detach_keys,
         const v1::Exec& exec) {
  const absl::StatusOr<AttachEnd> end = [&]() -> absl::StatusOr<AttachEnd> {
    auto session = AttachSession::Open(context.client(), context.stdio(), signals,
                                       {.container_id = flags.id,
                                        .exec_id = exec.id(),
                                        .start_exec = true,
                                        .send_stdin = flags.interactive,
                                        .terminal = flags.terminal,
                                        .detach_keys = detach_keys});
    if (!session.ok()) return session.status();
    return (*session)->Run();
  }();
  if (!end.ok()) {
    // What could not be started would stay behind, and nobody has its id.
    v1::DeleteExecRequest request;
    request.set_container_id(flags.id);
    request.set_exec_id(exec.id());
    request.set_force(true);
    static_cast<void>(context.client().execs().Delete(request, context.call()));
    return context.Fail(flags.id, end.status());
  }
  if (end->detached) {
    context.Note("\nocictl: exec " + flags.id + ": detached; it runs on as exec " + exec.id());
    return DetachedCode(*end);
  }
  return end->exit.code();
}

int Run(Context& context, const Flags& flags) {
  absl::StatusOr<v1::ExecConfig> config = BuildConfig(context, flags);
  if (!config.ok()) return context.Usage(config.status());
  const absl::StatusOr<DetachKeys> detach_keys = DetachKeys::Parse(flags.detach_keys);
  if (!detach_keys.ok()) return context.Usage(FlagError("detach-keys", detach_keys.status()));
  const absl::StatusOr<std::unique_ptr<SignalRelay>> signals = SignalRelay::Start();
  if (!signals.ok()) return context.Fail(flags.id, signals.status());
  v1::CreateExecRequest request;
  request.set_container_id(flags.id);
  request.set_exec_id(flags.exec_id);
  *request.mutable_config() = *std::move(config);
  request.set_start(flags.detach);
  request.set_request_id(flags.request_id);
  const absl::StatusOr<v1::Exec> exec = context.client().execs().Create(request, context.call());
  if (!exec.ok()) return context.Fail(flags.id, exec.status());
  if (!flags.detach) return Join(context, **signals, flags, *detach_keys, *exec);
  context.out().Write(context.json() ? PrettyJson(ToJson(*exec)) : exec->id() + "\n");
  return kSuccess;
}

Action Define(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_flag("-i,--interactive", flags->interactive, "Keep standard input open");
  app.add_flag("-t,--tty", flags->terminal, "Give it a terminal");
  app.add_flag("-d,--detach", flags->detach, "Run in the background and print the exec's id");
  AddRepeated(app, "-e,--env", flags->env, "Set a variable; KEY alone passes our own value on")
      ->type_name("KEY=VALUE");
  app.add_option("--cwd", flags->cwd, "Working directory. Default: the container's")
      ->type_name("DIR");
  app.add_option("-u,--user", flags->user, "User to run as, in numbers. Default: the container's")
      ->type_name("UID[:GID]");
  AddRepeated(app, "--cap-add", flags->capabilities, "Capability added to the container's own")
      ->type_name("CAP");
  app.add_flag("--no-new-privileges", flags->no_new_privileges,
               "The program cannot gain privileges by set-user-ID or file capabilities");
  AddDetachKeys(app, flags->detach_keys);
  app.add_option("--exec-id", flags->exec_id, "Id of the exec. Default: the daemon makes one up")
      ->type_name("ID");
  app.add_option("--request-id", flags->request_id, "Makes the request safe to repeat")
      ->type_name("ID");
  app.add_option("ID", flags->id, "A running container")->required();
  return [flags](Context& context) { return Run(context, *flags); };
}

}  // namespace

const CommandSpec kExecCommand = {
    .name = "exec",
    .group = "Containers",
    .summary = "Run a further program in a running container",
    .details =
        "Its output is ours and its exit code is ours. With -t, Ctrl-P Ctrl-Q detaches and leaves\n"
        "it running. Options of ours stand before the ID.",
    .examples =
        "$ ocictl exec web -- ps\n"
        "$ ocictl exec -it web -- /bin/sh\n"
        "$ ocictl exec -u 1000:1000 -e DEBUG=1 --cwd /srv web -- ./check\n"
        "$ ocictl exec -i web -- sh -c 'cat > /etc/motd' < motd",
    .completes = Completes::kContainers,
    .stands_in = true,
    .relays_signals = true,
    .takes_tail = true,
    .define = Define,
};

}  // namespace ocid::cli
