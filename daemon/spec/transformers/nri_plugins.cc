// NRI plugins: asked one after the other, each about the spec as it stands; then validators, about
// the whole; then other containers are updated as plugins asked.
//
// A container that starts again is not asked about again: plugins see one creation of it. What they
// asked for then is in the journal and is done again, each as a step of its plugin.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/nri/adjustment_apply.h"
#include "daemon/nri/adjustment_claims.h"
#include "daemon/nri/nri_container.h"
#include "daemon/spec/transformers/cdi_injection.h"
#include "daemon/spec/transformers/transformers.h"
#include "runtime/base/error_details.h"
#include "runtime/oci/oci_validate.h"
#include "runtime/oci/spec_edit.h"

namespace ocid {
namespace {

absl::Status PluginError(const std::string& plugin, const absl::Status& status) {
  if (status.ok() || !GetReason(status).empty()) return status;
  return MakeError(absl::StatusCode::kFailedPrecondition, "PLUGIN_FAILED",
                   absl::StrCat("NRI plugin ", plugin, ": ", std::string(status.message())),
                   {{"plugin", plugin}});
}

// The pod was described before its container's spec was made.
nri::PodSandbox PodOf(const PluginSubject& subject, const OciSpec& spec) {
  nri::PodSandbox pod = DescribePod(spec, subject);
  *pod.mutable_ips() = subject.pod.ips();
  return pod;
}

// One pass over the plugins of one generation.
class PluginPass {
 public:
  PluginPass(CdiRegistry* registry, const NriPluginsOptions& options, const SpecRequest& request,
             SpecEditor& editor)
      : registry_(registry),
        options_(options),
        request_(request),
        editor_(editor),
        claims_(request.container_id) {}

  absl::Status Run(PluginCalls& calls) {
    if (calls.plugins().empty() && !options_.validator.enable) return absl::OkStatus();
    const PluginSubject& subject = calls.subject();
    const absl::StatusOr<std::vector<std::string>> devices =
        RequestedCdiDevices(request_, editor_.spec());
    if (!devices.ok()) return devices.status();
    nri::CreateContainerRequest question;
    *question.mutable_pod() = PodOf(subject, editor_.spec());
    *question.mutable_container() = DescribeContainer(editor_.spec(), subject, *devices);
    std::string described = editor_.journal().final_digest();
    nri::ValidateContainerAdjustmentRequest whole;
    *whole.mutable_pod() = question.pod();
    *whole.mutable_container() = question.container();

    for (size_t i = 0; i < calls.plugins().size(); ++i) {
      const PluginInfo& plugin = calls.plugins()[i];
      const std::string name = plugin.QualifiedName();
      const auto ask = [&](SpecEdit& edit) -> absl::Status {
        // Most plugins change nothing, and the description of a long seccomp policy is long.
        if (described != editor_.journal().final_digest()) {
          *question.mutable_container() = DescribeContainer(edit.spec, subject, *devices);
          described = editor_.journal().final_digest();
        }
        const absl::StatusOr<CreateAnswer> answer = calls.CreateContainer(i, question);
        if (!answer.ok()) return answer.status();
        if (answer->outcome == PluginOutcome::kNotSubscribed) return absl::OkStatus();
        edit.keep_without_change = true;
        if (answer->outcome == PluginOutcome::kUnavailable) {
          edit.Ignore("", "", absl::StrCat("the plugin gave no answer: ", answer->reason));
          return absl::OkStatus();
        }
        return Apply(name, plugin.policy, answer->response, edit);
      };
      const absl::Status status = Step({.kind = ActorKind::kNri, .name = name}, ask);
      if (!status.ok()) return status;
    }
    const absl::Status accepted = AskValidators(calls, std::move(whole));
    if (!accepted.ok()) return accepted;
    return UpdateOthers(calls);
  }

 private:
  // A step of the plugin, and one for each CDI device that it asked for in it.
  absl::Status Step(const SpecActor& actor, const SpecEditor::EditFunction& edit) {
    devices_.clear();
    const absl::Status edited = editor_.Edit(actor, edit);
    if (!edited.ok()) return PluginError(actor.name, edited);
    if (devices_.empty()) return absl::OkStatus();
    const absl::StatusOr<std::vector<CdiDeviceEntry>> devices =
        ResolveCdiDevices(registry_, devices_);
    if (!devices.ok()) return Annotate(devices.status(), absl::StrCat("NRI plugin ", actor.name));
    // Nodes and mounts that plugins name themselves win over those of devices.
    return InjectCdiDevices(*devices,
                            {.on_behalf_of = actor.name,
                             .keeper =
                                 [this](bool is_mount, const std::string& path) {
                                   return claims_.Owner(is_mount ? nri::Mounts : nri::Devices,
                                                        path);
                                 }},
                            editor_);
  }

  absl::Status Apply(const std::string& plugin, const PluginPolicy& policy,
                     const nri::CreateContainerResponse& answer, SpecEdit& edit) {
    edit.requested_json = NriJson(answer);
    nri::ContainerAdjustment adjustment = answer.adjust();
    std::vector<NriIgnoredEdit> ignored = RestrictAdjustment(policy, &adjustment);
    absl::Status status = claims_.ClaimAdjustment(plugin, adjustment);
    if (!status.ok()) return status;
    AdjustmentClaims::Updates updates = answer.update();
    for (nri::ContainerUpdate& update : updates) {
      for (NriIgnoredEdit& refused :
           RestrictResources(policy, update.mutable_linux()->mutable_resources())) {
        refused.pointer = absl::StrCat(update.container_id(), ":", refused.pointer);
        ignored.push_back(std::move(refused));
      }
    }
    status = claims_.ClaimUpdates(plugin, updates);
    if (!status.ok()) return status;
    evictions_.insert(evictions_.end(), answer.evict().begin(), answer.evict().end());

    status = ApplyAdjustment(adjustment, options_.host, edit.spec.json(), ignored);
    if (!status.ok()) return status;
    const std::vector<std::string> injected = InjectedCdiDevices(editor_.journal());
    for (const nri::CDIDevice& device : adjustment.cdi_devices()) {
      if (std::find(injected.begin(), injected.end(), device.name()) == injected.end()) {
        devices_.push_back(device.name());
      } else {
        ignored.push_back({"", nlohmann::json(device.name()).dump(),
                           absl::StrCat("CDI device ", device.name(), " is there already")});
      }
    }
    for (const NriIgnoredEdit& one : ignored) {
      edit.Ignore(one.pointer, one.requested_json, one.reason);
    }
    return absl::OkStatus();
  }

  absl::Status AskValidators(PluginCalls& calls, nri::ValidateContainerAdjustmentRequest whole) {
    *whole.mutable_adjust() = claims_.combined();
    for (nri::ContainerUpdate& update : claims_.updates()) *whole.add_update() = std::move(update);
    *whole.mutable_owners() = claims_.owners();
    for (const PluginInfo& plugin : calls.plugins()) {
      nri::PluginInstance* const instance = whole.add_plugins();
      instance->set_name(plugin.name);
      instance->set_index(plugin.index);
    }
    const absl::Status by_default = ValidateByDefault(options_.validator, whole);
    if (!by_default.ok()) {
      return Rejected(std::string(kDefaultValidatorName), std::string(by_default.message()));
    }
    for (const ValidatorVerdict& verdict : calls.Validate(whole)) {
      if (verdict.accepted) continue;
      return Rejected(calls.plugins()[verdict.plugin].QualifiedName(), verdict.reason);
    }
    return absl::OkStatus();
  }

  static absl::Status Rejected(const std::string& validator, const std::string& reason) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "PLUGIN_REJECTED",
                     absl::StrCat("validator \"", validator,
                                  "\" rejected container adjustment, reason: ", reason),
                     {{"plugin", validator}, {"reason", reason}});
  }

  absl::Status UpdateOthers(PluginCalls& calls) {
    const std::vector<nri::ContainerUpdate> updates = claims_.updates();
    if (updates.empty() && evictions_.empty()) return absl::OkStatus();
    // Nobody else is touched for a container that cannot be.
    const absl::Status valid = ViolationsToStatus(Validate(editor_.spec()));
    if (!valid.ok()) return valid;
    return calls.Apply(updates, evictions_);
  }

  CdiRegistry* const registry_;
  const NriPluginsOptions& options_;
  const SpecRequest& request_;
  SpecEditor& editor_;
  AdjustmentClaims claims_;
  std::vector<nri::ContainerEviction> evictions_;
  std::vector<std::string> devices_;  // that the plugin of this step asked for
};

}  // namespace

SpecTransformer MakeNriPluginsTransformer(CdiRegistry* registry, NriPluginsOptions options) {
  return {.name = "nri_plugins",
          .phase = SpecPhase::kPlugins,
          .transform = [registry, options = std::move(options)](
                           const SpecRequest& request, SpecEditor& editor) -> absl::Status {
            if (request.plugins == nullptr) return absl::OkStatus();
            return PluginPass(registry, options, request, editor).Run(*request.plugins);
          }};
}

}  // namespace ocid
