// Container: what NRI plugins are told of it, and what they do to it.

#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"
#include "daemon/container/container.h"
#include "daemon/container/proto_time.h"
#include "daemon/nri/adjustment_apply.h"
#include "daemon/nri/adjustment_claims.h"
#include "daemon/nri/nri_container.h"
#include "nlohmann/json.hpp"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/default_devices.h"

namespace ocid {
namespace {

int64_t Nanoseconds(const google::protobuf::Timestamp& time) {
  return time.seconds() * 1'000'000'000 + time.nanos();
}

nri::ContainerState NriStateOf(v1::ContainerState state) {
  switch (state) {
    case v1::CONTAINER_STATE_CREATING:
    case v1::CONTAINER_STATE_CREATED:
    case v1::CONTAINER_STATE_STARTING:
      return nri::CONTAINER_CREATED;
    case v1::CONTAINER_STATE_RUNNING:
    case v1::CONTAINER_STATE_STOPPING:
      return nri::CONTAINER_RUNNING;
    case v1::CONTAINER_STATE_PAUSED:
      return nri::CONTAINER_PAUSED;
    case v1::CONTAINER_STATE_STOPPED:
    case v1::CONTAINER_STATE_DELETING:
      return nri::CONTAINER_STOPPED;
    default:
      return nri::CONTAINER_UNKNOWN;
  }
}

}  // namespace

PluginSubject Container::SubjectOf(const v1::ContainerConfig& config) const {
  PluginSubject subject;
  subject.container_id = id_;
  subject.container_name = id_;
  subject.image_name = config.image();
  subject.labels = {config.labels().begin(), config.labels().end()};
  subject.pod = DescribePod(OciSpec(), subject);
  return subject;
}

NriState Container::StateForPlugins() const {
  NriState state;
  state.state = NriStateOf(view_.state());
  state.pid = static_cast<uint32_t>(view_.pid());
  state.created_at = Nanoseconds(view_.create_time());
  state.started_at = Nanoseconds(view_.start_time());
  state.finished_at = Nanoseconds(view_.finish_time());
  state.exit_code = view_.exit_status().code();
  return state;
}

absl::StatusOr<PluginCalls*> Container::BeginPlugins(const v1::ContainerConfig& config) {
  if (services_.plugins == nullptr) return nullptr;
  pod_ = std::make_unique<PluginPod>(*services_.plugins, SubjectOf(config));
  return pod_->BeginCreate();
}

void Container::EndPlugins() {
  if (pod_ == nullptr) return;
  pod_->CreateFailed();
  pod_.reset();
}

void Container::TellCreated() {
  if (pod_ != nullptr) Lent([this] { pod_->Created(spec_text_, StateForPlugins()); });
}

void Container::TellStarted() {
  if (pod_ != nullptr) Lent([this] { pod_->Started(StateForPlugins()); });
}

void Container::RestorePlugins() {
  if (services_.plugins == nullptr) return;
  pod_ = std::make_unique<PluginPod>(*services_.plugins, SubjectOf(view_.config()));
  pod_->Restore(spec_text_, StateForPlugins());
}

void Container::KeepAnswers(internal::ContainerRecord& record) {
  if (pod_ == nullptr) return;
  for (RecordedAnswer& answer : pod_->TakeAnswers()) {
    internal::PluginAnswer& kept = *record.add_plugin_answers();
    kept.set_index(std::move(answer.index));
    kept.set_name(std::move(answer.name));
    kept.set_response(std::move(answer.response));
  }
}

std::unique_ptr<PluginCalls> Container::RecordedPlugins(
    const internal::ContainerRecord& record) const {
  if (record.plugin_answers().empty()) return nullptr;
  std::vector<RecordedAnswer> answers;
  for (const internal::PluginAnswer& kept : record.plugin_answers()) {
    answers.push_back({kept.index(), kept.name(), kept.response()});
  }
  const PluginPolicies none;
  return std::make_unique<RecordedCalls>(
      SubjectOf(view_.config()), std::move(answers),
      services_.plugins == nullptr ? none : services_.plugins->policies);
}

absl::StatusOr<nlohmann::json> Container::AskPluginsToUpdate(const nlohmann::json& resources) {
  if (pod_ == nullptr) return resources;
  const std::unique_ptr<PluginCalls> calls = pod_->BeginUpdate();
  AdjustmentClaims claims(id_, AdjustmentClaims::Operation::kOther);
  nri::UpdateContainerRequest request;
  const absl::Status described = pod_->Describe(StateForPlugins(), &request);
  if (!described.ok()) return described;
  *request.mutable_linux_resources() = DescribeResources(resources);
  nri::LinuxResources changes;
  std::vector<nri::ContainerEviction> evictions;
  std::vector<NriIgnoredEdit> ignored;
  for (size_t i = 0; i < calls->plugins().size(); ++i) {
    const PluginInfo& plugin = calls->plugins()[i];
    absl::StatusOr<UpdateAnswer> answer = absl::InternalError("not asked");
    Lent([&] { answer = calls->UpdateContainer(i, request); });
    if (!answer.ok()) return answer.status();
    if (answer->outcome != PluginOutcome::kAnswered) continue;
    for (nri::ContainerUpdate& update : *answer->response.mutable_update()) {
      for (NriIgnoredEdit& edit :
           RestrictResources(plugin.policy, update.mutable_linux()->mutable_resources())) {
        ignored.push_back(std::move(edit));
      }
      if (update.container_id() != id_) continue;
      MergeNriResources(update.linux().resources(), request.mutable_linux_resources());
      MergeNriResources(update.linux().resources(), &changes);
    }
    const absl::Status claimed =
        claims.ClaimUpdates(plugin.QualifiedName(), answer->response.update());
    if (!claimed.ok()) return claimed;
    evictions.insert(evictions.end(), answer->response.evict().begin(),
                     answer->response.evict().end());
  }
  std::vector<nri::ContainerUpdate> others = claims.updates();
  std::erase_if(others, [this](const auto& update) { return update.container_id() == id_; });
  const absl::Status applied = calls->Apply(others, evictions);
  if (!applied.ok()) {
    Log(LogLevel::kWarning, "nri: update of others", {{"container", id_}, {"error", applied}});
  }
  nlohmann::json changed = resources;
  changed.merge_patch(ToOciResources(changes, ignored));
  for (const NriIgnoredEdit& edit : ignored) {
    Log(LogLevel::kWarning, "nri: an edit of an update is ignored",
        {{"container", id_}, {"pointer", edit.pointer}, {"reason", edit.reason}});
  }
  return changed;
}

void Container::UpdateFromPlugin(const nri::LinuxResources& resources, const std::string& plugin,
                                 std::function<void(absl::Status)> done) {
  // What is being made is adjusted, not updated; and its create may be what the plugin is asked about.
  const v1::ContainerState now = snapshot()->state();
  if (now == v1::CONTAINER_STATE_UNSPECIFIED || now == v1::CONTAINER_STATE_CREATING) {
    return done(GoneError());
  }
  const GuestQueue::Added added =
      guests_.Add([self = shared_from_this(), resources, plugin, done]() mutable {
        const absl::Status updated = self->ApplyFromPlugin(resources, plugin);
        done(updated);
      });
  if (added == GuestQueue::Added::kWaits) {
    lane_->PushAlways([self = shared_from_this()](Lane::Turn) { self->guests_.RunWaiting(); });
  } else if (added == GuestQueue::Added::kFull) {
    done(BusyError());
  }
}

absl::Status Container::ApplyFromPlugin(const nri::LinuxResources& resources,
                                        const std::string& plugin) {
  const absl::Status legal = Check(LifecycleEvent::kUpdate);
  const bool starting = state() == v1::CONTAINER_STATE_STARTING;
  if (!legal.ok() && !starting) return legal;
  if (!IsAlive(state()) || cgroup_ == nullptr || !cgroup_->exists()) return GoneError();
  std::vector<NriIgnoredEdit> ignored;
  nlohmann::json changes = ToOciResources(resources, ignored);
  if (changes.contains("devices")) changes = WithDefaultDevices(changes);
  const absl::Status valid = services_.cgroups.Validate(id_, cgroups_path_, changes);
  if (!valid.ok()) return valid;
  const absl::Status updated = UpdateCgroup(changes);
  if (!updated.ok()) return updated;
  v1::Event event;
  event.set_type(v1::Event::UPDATED);
  event.set_container_id(id_);
  event.set_generation(view_.generation());
  event.set_detail(absl::StrCat("plugin ", plugin));
  services_.events.Append(std::move(event));
  return absl::OkStatus();
}

void Container::EvictForPlugin(const std::string& reason, const std::string& plugin) {
  Log(LogLevel::kWarning, "nri: evicted",
      {{"container", id_}, {"plugin", plugin}, {"reason", reason}});
  v1::StopContainerRequest request;
  request.set_container_id(id_);
  request.mutable_grace();  // none
  Stop(request, [id = id_](const absl::StatusOr<v1::Container>& stopped) {
    if (stopped.ok()) return;
    Log(LogLevel::kWarning, "nri: evict", {{"container", id}, {"error", stopped.status()}});
  });
}

}  // namespace ocid
