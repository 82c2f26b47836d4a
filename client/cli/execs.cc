#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/proto_json.h"
#include "client/cli/text.h"

namespace ocid::cli {
namespace {

struct Flags {
  bool force = false;
  bool quiet = false;
  std::string id;
  std::string exec_id;
  std::vector<std::string> exec_ids;
  std::string signal;
};

int List(Context& context, const Flags& flags) {
  std::vector<v1::Exec> execs;
  v1::ListExecsRequest request;
  request.set_container_id(flags.id);
  request.set_page_size(1000);
  do {
    const auto page = context.client().execs().List(request, context.call());
    if (!page.ok()) return context.Fail(flags.id, page.status());
    execs.insert(execs.end(), page->execs().begin(), page->execs().end());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  if (context.json()) {
    auto list = nlohmann::ordered_json::array();
    for (const v1::Exec& exec : execs) list.push_back(ToJson(exec));
    context.out().Write(PrettyJson(list));
    return kSuccess;
  }
  if (flags.quiet) {
    for (const v1::Exec& exec : execs) context.out().Write(exec.id() + "\n");
    return kSuccess;
  }
  Table table({"ID", "STATE", "PID", "EXIT", "TERMINAL", "COMMAND"});
  for (const v1::Exec& exec : execs) {
    table.AddRow({exec.id(), EnumText(exec.state()), exec.pid() == 0 ? "" : absl::StrCat(exec.pid()),
                  exec.has_exit_status() ? absl::StrCat(exec.exit_status().code()) : "",
                  exec.config().terminal() ? "yes" : "no", absl::StrJoin(exec.config().args(), " ")});
  }
  context.out().Write(table.Format());
  return kSuccess;
}

int Inspect(Context& context, const Flags& flags) {
  v1::GetExecRequest request;
  request.set_container_id(flags.id);
  request.set_exec_id(flags.exec_id);
  const auto exec = context.client().execs().Get(request, context.call());
  if (!exec.ok()) return context.Fail(flags.exec_id, exec.status());
  context.out().Write(PrettyJson(ToJson(*exec)));
  return kSuccess;
}

int Wait(Context& context, const Flags& flags) {
  v1::WaitExecRequest request;
  request.set_container_id(flags.id);
  request.set_exec_id(flags.exec_id);
  const auto ended = context.client().execs().Wait(request, context.call());
  if (!ended.ok()) return context.Fail(flags.exec_id, ended.status());
  if (context.json()) context.out().Write(PrettyJson(ToJson(ended->exit_status())));
  return ended->exit_status().code();
}

int Kill(Context& context, const Flags& flags) {
  v1::KillExecRequest request;
  request.set_container_id(flags.id);
  request.set_exec_id(flags.exec_id);
  request.set_signal(flags.signal);
  const absl::Status status = context.client().execs().Kill(request, context.call());
  return status.ok() ? kSuccess : context.Fail(flags.exec_id, status);
}

int Delete(Context& context, const Flags& flags) {
  return ForEachId(context, flags.exec_ids, [&](const std::string& exec_id) {
    v1::DeleteExecRequest request;
    request.set_container_id(flags.id);
    request.set_exec_id(exec_id);
    request.set_force(flags.force);
    const absl::Status status = context.client().execs().Delete(request, context.call());
    if (status.ok()) context.PrintDone(exec_id);
    return status;
  });
}

template <int (*kRun)(Context&, const Flags&)>
Action With(std::shared_ptr<Flags> flags) {
  return [flags](Context& context) { return kRun(context, *flags); };
}

std::shared_ptr<Flags> AddContainer(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("ID", flags->id, "A container")->required();
  return flags;
}

Action DefineList(CLI::App& app) {
  auto flags = AddContainer(app);
  app.add_flag("-q,--quiet", flags->quiet, "Ids only, one a line");
  return With<List>(flags);
}

Action DefineInspect(CLI::App& app) {
  auto flags = AddContainer(app);
  app.add_option("EXEC", flags->exec_id, "An exec of it")->required();
  return With<Inspect>(flags);
}

Action DefineWait(CLI::App& app) {
  auto flags = AddContainer(app);
  app.add_option("EXEC", flags->exec_id, "An exec of it")->required();
  return With<Wait>(flags);
}

Action DefineKill(CLI::App& app) {
  auto flags = AddContainer(app);
  app.add_option("EXEC", flags->exec_id, "A running exec of it")->required();
  app.add_option("SIGNAL", flags->signal, "A name or a number. Default: SIGTERM");
  return With<Kill>(flags);
}

Action DefineDelete(CLI::App& app) {
  auto flags = AddContainer(app);
  app.add_flag("-f,--force", flags->force, "One that runs too: it is killed");
  app.add_option("EXEC", flags->exec_ids, "Execs of it")->required();
  return With<Delete>(flags);
}

constexpr CommandSpec kList = {.name = "list",
                               .summary = "List the execs of a container, in every state",
                               .examples = "$ ocictl execs list web",
                               .completes = Completes::kContainers,
                               .define = DefineList};
constexpr CommandSpec kInspect = {.name = "inspect",
                                  .summary = "What is known about an exec, as JSON",
                                  .examples = "$ ocictl execs inspect web exec-1f2e",
                                  .completes = Completes::kContainers,
                                  .define = DefineInspect};
constexpr CommandSpec kWait = {.name = "wait",
                               .summary = "Wait until an exec has ended, and exit with its code",
                               .examples = "$ ocictl execs wait web exec-1f2e",
                               .completes = Completes::kContainers,
                               .stands_in = true,
                               .define = DefineWait};
constexpr CommandSpec kKill = {.name = "kill",
                               .summary = "Send a signal to an exec",
                               .examples = "$ ocictl execs kill web exec-1f2e HUP",
                               .completes = Completes::kContainers,
                               .define = DefineKill};
constexpr CommandSpec kDelete = {.name = "delete",
                                 .summary = "Forget execs that have ended",
                                 .examples = "$ ocictl execs delete -f web exec-1f2e",
                                 .completes = Completes::kContainers,
                                 .define = DefineDelete};
constexpr const CommandSpec* kSubcommands[] = {&kList, &kInspect, &kWait, &kKill, &kDelete};

}  // namespace

const CommandSpec kExecsCommand = {
    .name = "execs",
    .group = "Containers",
    .summary = "Programs that were run in a container by exec",
    .details =
        "An exec outlives the ocictl that made it, and the daemon: `ocictl attach --exec EXEC ID` joins\n"
        "it again. The newest 64 that have ended are kept until they are deleted.",
    .examples =
        "$ ocictl exec -d web -- ./migrate\n"
        "$ ocictl execs wait web exec-1f2e",
    .subcommands = kSubcommands,
};

}  // namespace ocid::cli
