#include "daemon/nri/plugin_pod.h"

#include <utility>

#include "daemon/base/log.h"

namespace ocid {

PluginPod::PluginPod(PluginContext& context, PluginSubject subject)
    : context_(context), subject_(std::move(subject)) {}

PluginPod::~PluginPod() {
  if (container_ != nullptr) context_.table.Remove(container_->id());
}

void PluginPod::FindNetwork() {
  const bool there =
      context_.networks != nullptr && context_.networks->Has(subject_.container_id);
  subject_.network_path = there ? context_.networks->PathFor(subject_.container_id) : "";
}

void PluginPod::Restore(SpecText spec, const NriState& state) {
  FindNetwork();
  container_ = std::make_shared<KnownContainer>(subject_, std::move(spec));
  state_ = state;
  stop_told_ = state.state == nri::CONTAINER_STOPPED;
  context_.table.Restore(container_, state_);
}

absl::StatusOr<PluginCalls*> PluginPod::BeginCreate() {
  const absl::Status complete = context_.CheckRequired();
  if (!complete.ok()) return complete;
  PluginTable::Creation creation = context_.table.BeginCreation();
  creation_id_ = creation.id;
  creation_ = std::make_unique<PluginOperation>(context_, subject_, std::move(creation.plugins),
                                                std::move(creation.joining));
  return creation_.get();
}

void PluginPod::Created(SpecText spec, const NriState& state) {
  FindNetwork();
  container_ = std::make_shared<KnownContainer>(subject_, std::move(spec));
  state_ = state;
  const PluginTable::Plugins active =
      context_.table.CommitCreation(creation_id_, container_, state_);
  PluginTable::Plugins late;
  for (const std::shared_ptr<Plugin>& plugin : active) {
    if (!creation_->Told(plugin.get())) late.push_back(plugin);
  }
  if (!late.empty()) TellPlugins(late, nri::RUN_POD_SANDBOX);
  TellPlugins(active, nri::POST_CREATE_CONTAINER);
  creation_.reset();
}

void PluginPod::CreateFailed() {
  if (creation_ == nullptr) return;
  context_.table.AbandonCreation(creation_id_);
  creation_->Undo();
  creation_.reset();
}

absl::Status PluginPod::Starting(SpecText spec, const NriState& state) {
  if (spec != nullptr) container_ = std::make_shared<KnownContainer>(subject_, std::move(spec));
  state_ = state;
  stop_told_ = false;
  const PluginTable::Plugins plugins =
      context_.table.Change(nri::START_CONTAINER, container_, state_);
  std::unique_ptr<EventRequest> request;
  for (const std::shared_ptr<Plugin>& plugin : plugins) {
    if (!plugin->Subscribed(nri::START_CONTAINER)) continue;
    if (request == nullptr) {
      request = std::make_unique<EventRequest>(container_->Event(nri::START_CONTAINER, state_));
    }
    const absl::Status judged =
        JudgeFailure(*plugin, EventMethod(nri::START_CONTAINER), plugin->Notify(*request));
    if (!judged.ok()) return judged;
  }
  return absl::OkStatus();
}

void PluginPod::Started(const NriState& state) {
  state_ = state;
  Tell(nri::POST_START_CONTAINER);
}

void PluginPod::Stopped(const NriState& state) {
  if (container_ == nullptr || std::exchange(stop_told_, true)) return;
  state_ = state;
  Tell(nri::STOP_CONTAINER);
}

std::vector<RecordedAnswer> PluginPod::TakeAnswers() { return creation_->TakeAnswers(); }

void PluginPod::StopPod() {
  if (container_ == nullptr || std::exchange(pod_stop_told_, true)) return;
  state_.state = nri::CONTAINER_STOPPED;
  if (!std::exchange(stop_told_, true)) Tell(nri::STOP_CONTAINER);
  Tell(nri::STOP_POD_SANDBOX);
}

void PluginPod::Removed() {
  StopPod();
  if (container_ == nullptr) return;
  // Whoever joins from now on hears nothing of it.
  context_.table.Remove(container_->id());
  Tell(nri::REMOVE_CONTAINER);
  Tell(nri::REMOVE_POD_SANDBOX);
  container_ = nullptr;
}

std::unique_ptr<PluginCalls> PluginPod::BeginUpdate() {
  return std::make_unique<PluginOperation>(context_, subject_, context_.table.active(),
                                           PluginTable::Plugins());
}

absl::Status PluginPod::Describe(const NriState& state,
                                 nri::UpdateContainerRequest* request) const {
  if (container_ == nullptr) return absl::InternalError("plugins do not know the container");
  const EncodedContainer parts = WithState(container_->Describe(), state);
  if (request->mutable_pod()->ParseFromString(parts.pod) &&
      request->mutable_container()->ParseFromString(parts.container)) {
    return absl::OkStatus();
  }
  return absl::InternalError("a container's description cannot be decoded");
}

void PluginPod::Updated(const NriState& state) {
  if (container_ == nullptr) return;
  state_ = state;
  Tell(nri::POST_UPDATE_CONTAINER);
}

void PluginPod::Tell(nri::Event event) {
  TellPlugins(context_.table.Change(event, container_, state_), event);
}

void PluginPod::TellPlugins(const PluginTable::Plugins& plugins, nri::Event event) {
  std::unique_ptr<EventRequest> request;
  for (const std::shared_ptr<Plugin>& plugin : plugins) {
    if (plugin->gone() || !plugin->Subscribed(event)) continue;
    if (request == nullptr) {
      request = std::make_unique<EventRequest>(container_->Event(event, state_));
    }
    const RpcResult result = plugin->Notify(*request);
    nri::StopContainerResponse response;
    if (!result.ok()) {
      Log(LogLevel::kWarning, "nri: event",
          {{"plugin", plugin->qualified_name()},
           {"container", subject_.container_id},
           {"event", EventMethod(event)},
           {"error", result.message}});
    } else if (event == nri::STOP_CONTAINER && !result.payload.empty() &&
               response.ParseFromString(result.payload)) {
      context_.Apply({response.update().begin(), response.update().end()}, {},
                     plugin->qualified_name(), [](const PluginContext::UpdateOutcome&) {});
    }
  }
}

}  // namespace ocid
