#include <memory>
#include <string>

#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/proto_json.h"

namespace ocid::cli {
namespace {

int List(Context& context) {
  const auto devices = context.client().devices().ListAll(context.call());
  if (!devices.ok()) return context.Fail("", devices.status());
  if (context.json()) {
    auto list = nlohmann::ordered_json::array();
    for (const v1::Device& device : *devices) list.push_back(ToJson(device));
    context.out().Write(PrettyJson(list));
    return kSuccess;
  }
  Table table({"DEVICE", "CDI", "FILE"});
  for (const v1::Device& device : *devices) {
    table.AddRow({device.name(), device.cdi_version(), device.source_file()});
  }
  context.out().Write(table.Format());
  return kSuccess;
}

int Inspect(Context& context, const std::string& name) {
  v1::GetDeviceRequest request;
  request.set_name(name);
  const auto device = context.client().devices().Get(request, context.call());
  if (!device.ok()) return context.Fail(name, device.status());
  context.out().Write(PrettyJson(ToJson(*device)));
  return kSuccess;
}

int Errors(Context& context) {
  const auto response = context.client().devices().ListErrors({}, context.call());
  if (!response.ok()) return context.Fail("", response.status());
  if (context.json()) {
    context.out().Write(PrettyJson(ToJson(*response)));
    return kSuccess;
  }
  for (const auto& error : response->errors()) {
    context.out().Write(Printable(error.source_file() + ": " + error.message()) + "\n");
    if (!error.devices().empty()) {
      context.out().Write("  not to be had: " + absl::StrJoin(error.devices(), ", ") + "\n");
    }
  }
  if (response->errors().empty()) {
    context.out().Write("No errors in " + absl::StrJoin(response->directories(), ", ") + "\n");
  }
  return kSuccess;
}

Action DefineList(CLI::App&) { return List; }
Action DefineErrors(CLI::App&) { return Errors; }
Action DefineInspect(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  app.add_option("DEVICE", *name, "A qualified name: vendor.com/class=name")->required();
  return [name](Context& context) { return Inspect(context, *name); };
}

constexpr CommandSpec kList = {
    .name = "list",
    .summary = "List the devices that --device can name",
    .examples = "$ ocictl device list",
    .define = DefineList,
};
constexpr CommandSpec kInspect = {
    .name = "inspect",
    .summary = "One device with everything it would edit, as JSON",
    .examples = "$ ocictl device inspect vendor.com/gpu=0",
    .completes = Completes::kDevices,
    .define = DefineInspect,
};
constexpr CommandSpec kErrors = {
    .name = "errors",
    .summary = "CDI files that cannot be used, and conflicts between files",
    .examples = "$ ocictl device errors",
    .define = DefineErrors,
};
constexpr const CommandSpec* kSubcommands[] = {&kList, &kInspect, &kErrors};

}  // namespace

const CommandSpec kDeviceCommand = {
    .name = "device",
    .group = "Devices, plugins, images",
    .summary = "Devices of the Container Device Interface (CDI)",
    .examples =
        "$ ocictl device list\n"
        "$ ocictl create --device vendor.com/gpu=0 --bundle ./web web",
    .subcommands = kSubcommands,
};

}  // namespace ocid::cli
