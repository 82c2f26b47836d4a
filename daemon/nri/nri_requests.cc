#include "daemon/nri/nri_requests.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace ocid {
namespace {

constexpr uint32_t kLengthDelimited = 2;  // the wire type

void AppendVarint(uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

struct EventNames {
  std::string_view method;
  bool legacy;
};

constexpr EventNames kEvents[] = {
    {"", false},
    {"RunPodSandbox", true},
    {"StopPodSandbox", true},
    {"RemovePodSandbox", true},
    {"CreateContainer", false},
    {"PostCreateContainer", true},
    {"StartContainer", true},
    {"PostStartContainer", true},
    {"UpdateContainer", false},
    {"PostUpdateContainer", true},
    {"StopContainer", false},
    {"RemoveContainer", true},
    {"UpdatePodSandbox", false},
    {"PostUpdatePodSandbox", true},
    {"ValidateContainerAdjustment", false},
};

}  // namespace

void AppendMessage(int field, std::string_view message, std::string& out) {
  AppendVarint(static_cast<uint32_t>(field) << 3 | kLengthDelimited, out);
  AppendVarint(message.size(), out);
  out.append(message);
}

EncodedContainer WithState(const EncodedContainer& parts, const NriState& state) {
  nri::PodSandbox pod;
  pod.set_pid(state.pid);
  if (parts.unnamed_network && state.pid != 0) {
    nri::LinuxNamespace* const network = pod.mutable_linux()->add_namespaces();
    network->set_type("network");
    network->set_path(absl::StrCat("/proc/", state.pid, "/ns/net"));
  }
  nri::Container container;
  container.set_state(state.state);
  container.set_pid(state.pid);
  container.set_created_at(state.created_at);
  container.set_started_at(state.started_at);
  container.set_finished_at(state.finished_at);
  container.set_exit_code(state.exit_code);
  EncodedContainer whole = parts;
  pod.AppendToString(&whole.pod);
  container.AppendToString(&whole.container);
  return whole;
}

namespace {

void AppendParts(nri::Event event, const EncodedContainer& parts, int pod_field,
                 int container_field, std::string& out) {
  AppendMessage(pod_field, parts.pod, out);
  if (!IsPodEvent(event)) AppendMessage(container_field, parts.container, out);
}

std::string EncodeEvent(nri::Event event, const EncodedContainer& parts) {
  std::string bytes;
  bytes.reserve(parts.pod.size() + parts.container.size() + 16);
  AppendParts(event, parts, nri::StartContainerRequest::kPodFieldNumber,
              nri::StartContainerRequest::kContainerFieldNumber, bytes);
  return bytes;
}

}  // namespace

EventRequest::EventRequest(nri::Event event, EncodedContainer parts)
    : event_(event), parts_(std::move(parts)), bytes_(EncodeEvent(event, parts_)) {}

std::string EventRequest::StateChange() const {
  nri::StateChangeEvent head;
  head.set_event(event_);
  std::string bytes = head.SerializeAsString();
  AppendParts(event_, parts_, nri::StateChangeEvent::kPodFieldNumber,
              nri::StateChangeEvent::kContainerFieldNumber, bytes);
  return bytes;
}

std::string_view EventMethod(nri::Event event) { return kEvents[event].method; }

bool HasLegacyForm(nri::Event event) { return kEvents[event].legacy; }

bool IsPodEvent(nri::Event event) {
  return event == nri::RUN_POD_SANDBOX || event == nri::STOP_POD_SANDBOX ||
         event == nri::REMOVE_POD_SANDBOX || event == nri::UPDATE_POD_SANDBOX ||
         event == nri::POST_UPDATE_POD_SANDBOX;
}

}  // namespace ocid
