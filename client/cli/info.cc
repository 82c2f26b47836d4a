#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/proto_json.h"
#include "client/cli/text.h"

namespace ocid::cli {
namespace {

std::string InfoText(const v1::Info& info, const v1::Capabilities& capabilities) {
  std::string text;
  const auto line = [&](const char* name, const std::string& value) {
    if (value.empty()) return;
    std::string left = absl::StrCat(name, ":");
    left.resize(20, ' ');
    absl::StrAppend(&text, left, Printable(value), "\n");
  };
  line("Version", info.version().version());
  line("Pid", absl::StrCat(info.pid()));
  line("Started", FormatTime(info.start_time()));
  line("Root", info.root_dir());
  line("State", info.state_dir());
  line("Cgroup manager", info.cgroup_manager());
  line("Cgroup layout", info.cgroup_layout());
  line("Controllers", absl::StrJoin(info.cgroup_controllers(), " "));
  line("Kernel", absl::StrCat(info.kernel(), " ", info.architecture()));
  line("Host name", info.hostname());
  line("CPUs", absl::StrCat(info.cpus()));
  line("Memory", FormatSize(info.memory_bytes()));
  std::vector<std::string> states;
  const auto counts = ToJson(info)["containers_by_state"];
  for (const auto& [state, count] : counts.items()) {
    states.push_back(absl::StrCat(count.dump(), " ", state));
  }
  line("Containers", states.empty() ? "none" : absl::StrJoin(states, ", "));
  line("Last event", absl::StrCat(info.last_event_sequence()));
  std::vector<std::string> features;
  const auto all = ToJson(capabilities)["features"];
  for (const auto& [feature, available] : all.items()) {
    features.push_back(available.get<bool>() ? feature : "no " + feature);
  }
  line("Features", absl::StrJoin(features, ", "));
  line("CDI version", capabilities.cdi_version());
  line("NRI version", capabilities.nri_version());
  for (const std::string& record : info.quarantined()) line("Set aside", record);
  for (const std::string& warning : info.warnings()) line("Warning", warning);
  return text;
}

int Run(Context& context) {
  const auto info = context.client().system().GetInfo(context.call());
  if (!info.ok()) return context.Fail("", info.status());
  const auto capabilities = context.client().system().GetCapabilities(context.call());
  if (!capabilities.ok()) return context.Fail("", capabilities.status());
  if (context.json()) {
    nlohmann::ordered_json document = ToJson(*info);
    document["capabilities"] = ToJson(*capabilities);
    context.out().Write(PrettyJson(document));
  } else {
    context.out().Write(InfoText(*info, *capabilities));
  }
  return kSuccess;
}

Action Define(CLI::App&) { return Run; }

}  // namespace

const CommandSpec kInfoCommand = {
    .name = "info",
    .group = "The daemon and ocictl",
    .summary = "The daemon and its host: folders, cgroups, features",
    .examples = "$ ocictl info",
    .define = Define,
};

}  // namespace ocid::cli
