#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "client/cli/commands.h"
#include "client/cli/proto_json.h"
#include "client/error.h"

namespace ocid::cli {
namespace {

using nlohmann::ordered_json;

struct Flags {
  bool redact = false;
  std::string id;
};

// Where the daemon cannot tell, the reason stands in the place of the answer.
ordered_json Unavailable(const absl::Status& status) {
  const ApiError error = DecodeError(status);
  return {
      {"unavailable", error.reason.empty() ? absl::StatusCodeToString(error.code) : error.reason},
      {"message", error.message}};
}

ordered_json Effective(Context& context, const Flags& flags) {
  v1::InspectOciSpecRequest request;
  request.set_container_id(flags.id);
  request.set_view(v1::SPEC_VIEW_FINAL);
  request.set_redact(flags.redact);
  const auto history = context.client().containers().InspectOciSpec(request, context.call());
  if (!history.ok()) return Unavailable(history.status());
  return {{"generation", history->generation()},
          {"spec_sha256", history->final().sha256()},
          {"executor_sha256", history->executor_sha256()},
          {"redacted", history->redacted()},
          {"spec", ToJson(history->final())["json"]}};
}

ordered_json Observed(Context& context, const v1::Container& container, bool redact) {
  ordered_json observed = {{"state", EnumText(container.state())}, {"pid", container.pid()}};
  if (container.has_exit_status()) observed["exit_status"] = ToJson(container.exit_status());
  // Nothing to be observed of what does not run.
  if (container.pid() == 0) return observed;
  ContainerClient& containers = context.client().containers();
  v1::ListProcessesRequest processes_request;
  processes_request.set_container_id(container.id());
  const auto processes = containers.ListProcesses(processes_request, context.call());
  observed["processes"] =
      processes.ok() ? ToJson(*processes)["processes"] : Unavailable(processes.status());
  v1::GetStatsRequest stats_request;
  stats_request.set_container_id(container.id());
  const auto stats = containers.GetStats(stats_request, context.call());
  observed["stats"] = stats.ok() ? ToJson(*stats) : Unavailable(stats.status());
  v1::DetectDriftRequest drift_request;
  drift_request.set_container_id(container.id());
  drift_request.set_redact(redact);
  const auto drift = containers.DetectDrift(drift_request, context.call());
  observed["drift"] = drift.ok() ? ToJson(*drift) : Unavailable(drift.status());
  return observed;
}

int Run(Context& context, const Flags& flags) {
  v1::GetContainerRequest request;
  request.set_container_id(flags.id);
  request.set_view(v1::CONTAINER_VIEW_FULL);
  const auto container = context.client().containers().Get(request, context.call());
  if (!container.ok()) return context.Fail(flags.id, container.status());
  ordered_json config = ToJson(container->config());
  if (flags.redact) {
    for (auto& [key, value] : config["env"].items()) value = "<redacted>";
  }
  ordered_json document = ToJson(*container);
  document.erase("config");
  // These are the effective spec's, and stand there.
  for (const char* name : {"args", "annotations", "terminal", "spec_sha256"}) document.erase(name);
  document["exit_code"] = container->has_exit_status()
                              ? ordered_json(container->exit_status().code())
                              : ordered_json(nullptr);
  document["requested"] = std::move(config);
  document["effective"] = Effective(context, flags);
  document["observed"] = Observed(context, *container, flags.redact);
  context.out().Write(PrettyJson(document));
  return kSuccess;
}

Action Define(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_flag("--redact", flags->redact, "Hide the values of environment variables");
  app.add_option("ID", flags->id, "A container")->required();
  return [flags](Context& context) { return Run(context, *flags); };
}

}  // namespace

const CommandSpec kInspectCommand = {
    .name = "inspect",
    .group = "Looking",
    .summary = "Everything about one container, as JSON",
    .details =
        "Besides id, state, pid, exit_code, times and paths, three sections:\n"
        "  requested   what the caller of create asked for\n"
        "  effective   the OCI spec that it runs with, and the digest the executor read\n"
        "  observed    what the kernel says now: processes, usage, and where it differs from the "
        "spec",
    .examples =
        "$ ocictl inspect web | jq .pid\n"
        "$ ocictl inspect web | jq .effective.spec.mounts\n"
        "$ ocictl inspect web | jq .observed.stats.memory",
    .completes = Completes::kContainers,
    .define = Define,
};

}  // namespace ocid::cli
