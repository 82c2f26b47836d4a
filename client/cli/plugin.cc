#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/proto_json.h"
#include "client/cli/text.h"

namespace ocid::cli {
namespace {

int List(Context& context) {
  const auto response = context.client().plugins().List({}, context.call());
  if (!response.ok()) return context.Fail("", response.status());
  if (context.json()) {
    context.out().Write(PrettyJson(ToJson(*response)["plugins"]));
    return kSuccess;
  }
  Table table({"PLUGIN", "CONNECTED", "PID", "CALLS", "FAILURES", "TIMEOUTS", "P99", "LAST ERROR"});
  for (const v1::Plugin& plugin : response->plugins()) {
    table.AddRow({plugin.name(), plugin.connected() ? "yes" : "no",
                  plugin.pid() == 0 ? "" : absl::StrCat(plugin.pid()), absl::StrCat(plugin.calls()),
                  absl::StrCat(plugin.failures()), absl::StrCat(plugin.timeouts()),
                  plugin.has_latency_p99() ? FormatShort(ToDuration(plugin.latency_p99())) : "",
                  plugin.last_error()});
  }
  context.out().Write(table.Format());
  return kSuccess;
}

int Inspect(Context& context, const std::string& name) {
  v1::GetPluginRequest request;
  request.set_name(name);
  const auto plugin = context.client().plugins().Get(request, context.call());
  if (!plugin.ok()) return context.Fail(name, plugin.status());
  context.out().Write(PrettyJson(ToJson(*plugin)));
  return kSuccess;
}

Action DefineList(CLI::App&) { return List; }
Action DefineInspect(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  app.add_option("PLUGIN", *name, "Its name with its index: 10-logger")->required();
  return [name](Context& context) { return Inspect(context, *name); };
}

constexpr CommandSpec kList = {
    .name = "list",
    .summary = "List plugins in the order in which they are called",
    .examples = "$ ocictl plugin list",
    .define = DefineList,
};
constexpr CommandSpec kInspect = {
    .name = "inspect",
    .summary = "One plugin with its counters, as JSON",
    .examples = "$ ocictl plugin inspect 10-logger",
    .completes = Completes::kPlugins,
    .define = DefineInspect,
};
constexpr const CommandSpec* kSubcommands[] = {&kList, &kInspect};

}  // namespace

const CommandSpec kPluginCommand = {
    .name = "plugin",
    .group = "Devices, plugins, images",
    .summary = "Plugins of the Node Resource Interface (NRI)",
    .examples = "$ ocictl plugin list",
    .subcommands = kSubcommands,
};

}  // namespace ocid::cli
