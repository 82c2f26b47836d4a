#include "daemon/nri/plugin_operation.h"

#include <algorithm>
#include <future>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

// How long an operation waits for updates of other containers.
constexpr absl::Duration kApplyPatience = absl::Seconds(2);

ValidatorVerdict AskValidator(Plugin& plugin, size_t index, const std::string& request) {
  ValidatorVerdict verdict;
  verdict.plugin = index;
  const absl::Time begin = absl::Now();
  const RpcResult result = plugin.Call(nri::VALIDATE_CONTAINER_ADJUSTMENT, request);
  verdict.duration = absl::Now() - begin;
  nri::ValidateContainerAdjustmentResponse response;
  if (!result.ok()) {
    verdict.reason = result.message;
  } else if (!response.ParseFromString(result.payload)) {
    verdict.reason = "an answer that cannot be decoded";
  } else {
    verdict.accepted = !response.reject();
    verdict.reason = response.reason();
  }
  return verdict;
}

}  // namespace

PluginOperation::PluginOperation(PluginContext& context, PluginSubject subject,
                                 PluginTable::Plugins plugins, PluginTable::Plugins joining)
    : context_(context),
      subject_(std::move(subject)),
      plugins_(std::move(plugins)),
      joining_(std::move(joining)) {
  bool pods_matter = false;
  for (const std::shared_ptr<Plugin>& plugin : plugins_) {
    infos_.push_back(plugin->info());
    pods_matter = pods_matter || plugin->Subscribed(nri::RUN_POD_SANDBOX);
  }
  if (pods_matter && context_.networks != nullptr) {
    subject_.network_path = context_.networks->PathFor(subject_.container_id);
  }
}

absl::Status PluginOperation::RunPod(const nri::CreateContainerRequest& request) {
  pod_ran_ = true;
  for (const std::shared_ptr<Plugin>& plugin : joining_) {
    if (!context_.table.AwaitJoined(plugin)) left_out_.insert(plugin.get());
  }
  const auto& namespaces = request.pod().linux().namespaces();
  if (!subject_.network_path.empty() &&
      std::any_of(namespaces.begin(), namespaces.end(), [this](const nri::LinuxNamespace& entry) {
        return entry.path() == subject_.network_path;
      })) {
    const absl::Status made = context_.networks->Make(subject_.container_id);
    if (!made.ok()) return made;
  }
  parts_ = {request.pod().SerializeAsString(), request.container().SerializeAsString()};
  const EventRequest event(nri::RUN_POD_SANDBOX, parts_);
  for (const std::shared_ptr<Plugin>& plugin : plugins_) {
    if (left_out_.contains(plugin.get())) continue;
    told_.insert(plugin.get());
    if (!plugin->Subscribed(nri::RUN_POD_SANDBOX)) continue;
    const absl::Status judged = JudgeFailure(*plugin, EventMethod(nri::RUN_POD_SANDBOX),
                                             plugin->Notify(event));
    if (!judged.ok()) return judged;
  }
  return absl::OkStatus();
}

template <class Response>
absl::StatusOr<PluginAnswer<Response>> PluginOperation::Ask(size_t plugin, nri::Event event,
                                                            const std::string& request) {
  Plugin& asked = *plugins_.at(plugin);
  PluginAnswer<Response> answer;
  if (left_out_.contains(&asked) || !asked.Subscribed(event)) return answer;
  const absl::Time begin = absl::Now();
  RpcResult result = asked.Call(event, request);
  answer.duration = absl::Now() - begin;
  if (result.ok() && !answer.response.ParseFromString(result.payload)) {
    result = {.kind = RpcResult::Kind::kLost, .message = "an answer that cannot be decoded"};
    asked.stats().SetError(result.message);
    asked.Close(result.message);
  }
  if (result.ok()) {
    answer.outcome = PluginOutcome::kAnswered;
    return answer;
  }
  const absl::Status judged = JudgeFailure(asked, EventMethod(event), result);
  if (!judged.ok()) return judged;
  answer.outcome = PluginOutcome::kUnavailable;
  answer.reason = result.message;
  answer.response.Clear();
  return answer;
}

absl::StatusOr<CreateAnswer> PluginOperation::CreateContainer(
    size_t plugin, const nri::CreateContainerRequest& request) {
  if (!pod_ran_) {
    const absl::Status ran = RunPod(request);
    if (!ran.ok()) return ran;
  }
  asked_ = true;
  absl::StatusOr<CreateAnswer> answer = Ask<nri::CreateContainerResponse>(
      plugin, nri::CREATE_CONTAINER, request.SerializeAsString());
  if (answer.ok() && answer->outcome == PluginOutcome::kAnswered && answer->response.has_adjust()) {
    nri::CreateContainerResponse kept;
    *kept.mutable_adjust() = answer->response.adjust();
    answers_.push_back({.index = infos_[plugin].index,
                        .name = infos_[plugin].name,
                        .response = kept.SerializeAsString()});
  }
  return answer;
}

absl::StatusOr<UpdateAnswer> PluginOperation::UpdateContainer(
    size_t plugin, const nri::UpdateContainerRequest& request) {
  return Ask<nri::UpdateContainerResponse>(plugin, nri::UPDATE_CONTAINER,
                                           request.SerializeAsString());
}

std::vector<ValidatorVerdict> PluginOperation::Validate(
    const nri::ValidateContainerAdjustmentRequest& request) {
  std::vector<size_t> validators;
  for (size_t i = 0; i < plugins_.size(); ++i) {
    const bool asked = !left_out_.contains(plugins_[i].get()) &&
                       plugins_[i]->Subscribed(nri::VALIDATE_CONTAINER_ADJUSTMENT);
    if (asked) validators.push_back(i);
  }
  std::vector<ValidatorVerdict> verdicts(validators.size());
  if (validators.empty()) return verdicts;
  const std::string bytes = request.SerializeAsString();
  const auto ask = [&](size_t i) {
    verdicts[i] = AskValidator(*plugins_[validators[i]], validators[i], bytes);
  };
  std::vector<std::thread> others;  // the usual case is one validator
  for (size_t i = 1; i < validators.size(); ++i) others.emplace_back(ask, i);
  ask(0);
  for (std::thread& thread : others) thread.join();
  return verdicts;
}

absl::Status PluginOperation::Apply(const std::vector<nri::ContainerUpdate>& updates,
                                    const std::vector<nri::ContainerEviction>& evictions) {
  if (updates.empty() && evictions.empty()) return absl::OkStatus();
  const auto ended = std::make_shared<std::promise<absl::Status>>();
  context_.Apply(updates, evictions, subject_.container_id,
                 [ended](const PluginContext::UpdateOutcome& outcome) {
                   ended->set_value(outcome.first_error);
                 });
  std::future<absl::Status> status = ended->get_future();
  if (status.wait_for(absl::ToChronoMilliseconds(kApplyPatience)) == std::future_status::ready) {
    return status.get();
  }
  Log(LogLevel::kWarning, "nri: updates of other containers take long",
      {{"container", subject_.container_id}});
  return absl::OkStatus();
}

void PluginOperation::Undo() {
  for (const nri::Event event : {nri::STOP_CONTAINER, nri::STOP_POD_SANDBOX, nri::REMOVE_CONTAINER,
                                 nri::REMOVE_POD_SANDBOX}) {
    if (!IsPodEvent(event) && !asked_) continue;
    const EventRequest request(event, parts_);
    for (const std::shared_ptr<Plugin>& plugin : plugins_) {
      if (!Told(plugin.get()) || plugin->gone() || !plugin->Subscribed(event)) continue;
      const RpcResult result = plugin->Notify(request);
      if (result.ok()) continue;
      Log(LogLevel::kWarning, "nri: event",
          {{"plugin", plugin->qualified_name()},
           {"container", subject_.container_id},
           {"event", EventMethod(event)},
           {"error", result.message}});
    }
    if (event == nri::STOP_POD_SANDBOX && context_.networks != nullptr) {
      const absl::Status removed = context_.networks->Remove(subject_.container_id);
      if (!removed.ok()) Log(LogLevel::kWarning, "nri: undo", {{"error", removed}});
    }
  }
}

RecordedCalls::RecordedCalls(PluginSubject subject, std::vector<RecordedAnswer> answers,
                             const PluginPolicies& policies)
    : subject_(std::move(subject)), answers_(std::move(answers)) {
  for (const RecordedAnswer& answer : answers_) {
    infos_.push_back({.index = answer.index,
                      .name = answer.name,
                      .policy = policies.For(answer.index, answer.name)});
  }
}

absl::StatusOr<CreateAnswer> RecordedCalls::CreateContainer(size_t plugin,
                                                            const nri::CreateContainerRequest&) {
  CreateAnswer answer;
  answer.outcome = PluginOutcome::kAnswered;
  if (!answer.response.ParseFromString(answers_.at(plugin).response)) {
    return MakeError(absl::StatusCode::kDataLoss, "RECORD_CORRUPT",
                     absl::StrCat("the recorded answer of plugin ", infos_[plugin].QualifiedName()));
  }
  return answer;
}

absl::StatusOr<UpdateAnswer> RecordedCalls::UpdateContainer(size_t,
                                                            const nri::UpdateContainerRequest&) {
  return UpdateAnswer();
}

std::vector<ValidatorVerdict> RecordedCalls::Validate(
    const nri::ValidateContainerAdjustmentRequest&) {
  return {};
}

absl::Status RecordedCalls::Apply(const std::vector<nri::ContainerUpdate>&,
                                  const std::vector<nri::ContainerEviction>&) {
  return absl::OkStatus();
}

}  // namespace ocid
