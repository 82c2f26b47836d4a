#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/container_flags.h"
#include "client/cli/text.h"

namespace ocid::cli {
namespace {

struct Flags {
  ResourceFlags resources;
  std::vector<std::string> labels;
  std::vector<std::string> removed_labels;
  std::string restart;
  std::string etag;
  std::string request_id;
  bool dry_run = false;
  std::string id;
};

// Labels are replaced as a whole: ours are put into those the container has. The etag makes the
// daemon refuse where somebody changed it between the two calls.
absl::Status MergeLabels(Context& context, const Flags& flags,
                         v1::UpdateContainerRequest& request) {
  if (flags.labels.empty() && flags.removed_labels.empty()) return absl::OkStatus();
  v1::GetContainerRequest get;
  get.set_container_id(flags.id);
  auto container = context.client().containers().Get(get, context.call());
  if (!container.ok()) return container.status();
  *request.mutable_labels() = *container->mutable_labels();
  for (const std::string& key : flags.removed_labels) request.mutable_labels()->erase(key);
  for (const std::string& text : flags.labels) {
    auto pair = ParseKeyValue(text);
    if (!pair.ok()) return FlagError("label", pair.status());
    (*request.mutable_labels())[pair->first] = pair->second;
  }
  request.mutable_update_mask()->add_paths("labels");
  if (request.etag().empty()) request.set_etag(container->etag());
  return absl::OkStatus();
}

absl::Status Build(const Flags& flags, v1::UpdateContainerRequest& request) {
  request.set_container_id(flags.id);
  request.set_etag(flags.etag);
  request.set_request_id(flags.request_id);
  request.set_validate_only(flags.dry_run);
  std::vector<std::string> paths;
  v1::Resources resources;
  if (absl::Status status = BuildResources(flags.resources, resources, paths); !status.ok()) {
    return status;
  }
  if (!paths.empty()) *request.mutable_resources() = std::move(resources);
  for (const std::string& path : paths)
    request.mutable_update_mask()->add_paths("resources." + path);
  if (!flags.restart.empty()) {
    auto policy = ParseRestartPolicy(flags.restart);
    if (!policy.ok()) return FlagError("restart", policy.status());
    *request.mutable_restart_policy() = *std::move(policy);
    request.mutable_update_mask()->add_paths("restart_policy");
  }
  for (const std::string& text : flags.labels) {
    if (const auto pair = ParseKeyValue(text); !pair.ok()) return FlagError("label", pair.status());
  }
  if (request.update_mask().paths().empty() && flags.labels.empty() &&
      flags.removed_labels.empty()) {
    return absl::InvalidArgumentError("nothing to change was given");
  }
  return absl::OkStatus();
}

int Run(Context& context, const Flags& flags) {
  v1::UpdateContainerRequest request;
  if (const absl::Status status = Build(flags, request); !status.ok()) return context.Usage(status);
  if (const absl::Status status = MergeLabels(context, flags, request); !status.ok()) {
    return context.Fail(flags.id, status);
  }
  const auto container = context.client().containers().Update(request, context.call());
  if (!container.ok()) return context.Fail(flags.id, container.status());
  context.PrintDone(*container);
  return kSuccess;
}

Action Define(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  AddResourceFlags(app, flags->resources);
  AddRepeated(app, "--label", flags->labels, "Set a label")->type_name("KEY=VALUE");
  AddRepeated(app, "--label-rm", flags->removed_labels, "Remove a label")->type_name("KEY");
  app.add_option("--restart", flags->restart, "no, on-failure[:N], always or unless-stopped")
      ->type_name("POLICY");
  app.add_option("--etag", flags->etag, "Only if it is unchanged since `inspect` showed this etag")
      ->type_name("ETAG");
  app.add_option("--request-id", flags->request_id, "Makes the request safe to repeat")
      ->type_name("ID");
  app.add_flag("--dry-run", flags->dry_run, "Check everything, change nothing");
  app.add_option("ID", flags->id, "A container")->required();
  return [flags](Context& context) { return Run(context, *flags); };
}

}  // namespace

const CommandSpec kUpdateCommand = {
    .name = "update",
    .group = "Containers",
    .summary = "Change limits, labels or the restart policy",
    .details =
        "Live where it runs; for the next start where it has stopped. What is not given stays.",
    .examples =
        "$ ocictl update --memory 256m --cpus 0.5 web\n"
        "$ ocictl update --label tier=web --label-rm old web",
    .completes = Completes::kContainers,
    .define = Define,
};

}  // namespace ocid::cli
