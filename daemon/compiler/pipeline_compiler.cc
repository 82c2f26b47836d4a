#include "daemon/compiler/pipeline_compiler.h"

#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"
#include "daemon/compiler/bundle_config.h"
#include "daemon/compiler/drift_answer.h"
#include "daemon/compiler/exec_process.h"
#include "daemon/compiler/spec_history.h"
#include "daemon/container/oci_resources.h"
#include "daemon/image/image_rootfs.h"
#include "daemon/spec/spec_pipeline.h"
#include "daemon/spec/transformers/transformers.h"
#include "nlohmann/json.hpp"
#include "runtime/base/error_details.h"
#include "runtime/plan/launch_host.h"
#include "runtime/seccomp/bpf_compile.h"

namespace ocid {
namespace {

SpecOverrides OverridesOf(const v1::ContainerConfig& config) {
  SpecOverrides overrides;
  if (!config.args().empty()) {
    overrides.args.emplace(config.args().begin(), config.args().end());
  }
  // In the order of their names: the same request gives the same spec.
  const std::map<std::string, std::string> env(config.env().begin(), config.env().end());
  for (const auto& [name, value] : env) overrides.env.push_back(absl::StrCat(name, "=", value));
  if (config.has_cwd()) overrides.cwd = config.cwd();
  if (config.has_user()) {
    const v1::User& user = config.user();
    overrides.user =
        SpecUser{.uid = user.uid(),
                 .gid = user.gid(),
                 .additional_gids = {user.additional_gids().begin(), user.additional_gids().end()}};
  }
  if (config.has_terminal()) overrides.terminal = config.terminal();
  if (config.has_console_size()) {
    overrides.console_size = SpecConsoleSize{.height = config.console_size().rows(),
                                             .width = config.console_size().columns()};
  }
  if (config.has_no_new_privileges()) overrides.no_new_privileges = config.no_new_privileges();
  if (config.has_read_only_rootfs()) overrides.readonly_rootfs = config.read_only_rootfs();
  if (config.has_hostname()) overrides.hostname = config.hostname();
  overrides.annotations = {config.annotations().begin(), config.annotations().end()};
  for (const v1::Mount& mount : config.mounts()) {
    overrides.mounts.push_back({.destination = mount.destination(),
                                .type = mount.type(),
                                .source = mount.source(),
                                .options = {mount.options().begin(), mount.options().end()}});
  }
  for (const v1::Rlimit& rlimit : config.rlimits()) {
    overrides.rlimits.push_back(
        {.type = rlimit.type(), .soft = rlimit.soft(), .hard = rlimit.hard()});
  }
  if (config.has_resources()) {
    overrides.resources_json = ToOciResources(config.resources()).dump();
  }
  return overrides;
}

// The plan compiler's word for what it cannot do, as the API has it.
absl::Status Unsupported(const absl::Status& status) {
  if (!absl::IsUnimplemented(status)) return status;
  const absl::string_view message = status.message();
  absl::Status result = MakeError(absl::StatusCode::kFailedPrecondition, "SPEC_UNSUPPORTED",
                                  std::string_view(message.data(), message.size()));
  for (const FieldViolation& violation : GetFieldViolations(status)) {
    AddFieldViolation(result, violation.field, violation.description);
  }
  return result;
}

// What hooks are told is the bundle: for a container of an image, the folder that its root is in.
std::string BundleOf(const v1::ContainerConfig& config, const OciSpec& spec) {
  if (!config.has_image()) return config.bundle();
  const std::string root = spec.RootPath();
  return root.substr(0, root.rfind('/'));
}

class PipelineCompiler final : public SpecCompiler {
 public:
  explicit PipelineCompiler(PipelineCompilerOptions options)
      : options_(std::move(options)),
        pipeline_(DefaultTransformers(options_.devices, options_.plugins),
                  {.plugins_override_request = options_.plugins_override_request}) {}

  absl::StatusOr<GeneratedSpec> Generate(const std::string& container_id,
                                         const v1::ContainerConfig& config,
                                         absl::Time create_time,
                                         PluginCalls* plugins) const override {
    SpecRequest request;
    const absl::Status source =
        config.has_image() ? SetImage(container_id, config.image(), request)
                           : SetBundle(config.bundle(), request);
    if (!source.ok()) return source;
    request.container_id = container_id;
    request.plugins = plugins;
    request.created = absl::FormatTime(absl::RFC3339_full, create_time, absl::UTCTimeZone());
    request.overrides = OverridesOf(config);
    request.cdi_devices = {config.cdi_devices().begin(), config.cdi_devices().end()};
    request.default_cgroups_path = options_.default_cgroups_path(container_id);
    absl::StatusOr<SpecResult> result = pipeline_.Run(request);
    if (!result.ok()) return result.status();
    GeneratedSpec generated;
    generated.sha256 = result->journal.final_digest();
    generated.original_sha256 = result->journal.original_digest();
    generated.journal = result->journal.Serialize();
    generated.spec = std::move(result->spec);
    return generated;
  }

  absl::StatusOr<CompiledPlan> CompilePlan(const std::string& container_id,
                                           const v1::ContainerConfig& config, const OciSpec& spec,
                                           const LaunchPlaces& places) const override {
    CreatePlanRequest request{
        .spec = spec.json(), .id = container_id, .bundle = BundleOf(config, spec)};
    request.host = options_.host;
    request.cgroup_mounts = CgroupMountsOf(places.cgroups);
    request.network_namespace = places.network_namespace;
    request.seccomp_cache = &seccomp_cache_;
    const absl::StatusOr<LaunchPlan> plan = CompileCreate(request);
    if (!plan.ok()) return Unsupported(plan.status());
    for (const std::string& warning : plan->warnings()) {
      Log(LogLevel::kWarning, "spec", {{"container", container_id}, {"warning", warning}});
    }
    return CompiledPlan{.plan = std::string(plan->bytes()), .executor_sha256 = spec.Digest()};
  }

  absl::StatusOr<std::string> CompileExecPlan(const std::string& container_id,
                                              const v1::ContainerConfig& config,
                                              const OciSpec& spec,
                                              const v1::ExecConfig& exec) const override {
    const nlohmann::json process = ExecProcess(spec, exec);
    const absl::StatusOr<LaunchPlan> plan = CompileExec({.spec = spec.json(),
                                                         .process = process,
                                                         .id = container_id,
                                                         .bundle = BundleOf(config, spec),
                                                         .host = options_.host,
                                                         .seccomp_cache = &seccomp_cache_});
    if (!plan.ok()) return Unsupported(plan.status());
    return std::string(plan->bytes());
  }

  absl::StatusOr<v1::DetectDriftResponse> DetectDrift(
      const DriftQuestion& question) const override {
    return AnswerDrift(question, options_.devices, options_.host);
  }

  absl::StatusOr<v1::OciSpecHistory> Describe(std::string_view journal,
                                              const HistoryOptions& options) const override {
    const absl::StatusOr<SpecJournal> parsed = SpecJournal::Parse(journal);
    if (!parsed.ok()) {
      const absl::string_view message = parsed.status().message();
      return MakeError(absl::StatusCode::kDataLoss, "RECORD_CORRUPT",
                       absl::StrCat("journal: ", message));
    }
    return DescribeHistory(*parsed, options);
  }

 private:
  static absl::Status SetBundle(const std::string& path, SpecRequest& request) {
    absl::StatusOr<BundleConfig> bundle = ReadBundleConfig(path);
    if (!bundle.ok()) return bundle.status();
    request.bundle_path = path;
    request.bundle = *std::move(bundle);
    return absl::OkStatus();
  }

  absl::Status SetImage(const std::string& container_id, const std::string& name,
                        SpecRequest& request) const {
    if (options_.images == nullptr) {
      return MakeError(absl::StatusCode::kUnimplemented, "NOT_IMPLEMENTED",
                       "there is no image store: create from a bundle", {{"feature", "images"}});
    }
    absl::StatusOr<ImageRunConfig> image = options_.images->RunConfig(container_id, name);
    if (!image.ok()) return image.status();
    request.image_seccomp = options_.image_seccomp;
    request.image_rootfs = options_.images->PathFor(container_id, image->record.manifest);
    request.image = std::make_shared<const ImageRunConfig>(*std::move(image));
    return absl::OkStatus();
  }

  const PipelineCompilerOptions options_;
  const SpecPipeline pipeline_;
  mutable SeccompCache seccomp_cache_;
};

}  // namespace

std::unique_ptr<SpecCompiler> MakePipelineCompiler(PipelineCompilerOptions options) {
  return std::make_unique<PipelineCompiler>(std::move(options));
}

}  // namespace ocid
