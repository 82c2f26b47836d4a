// PluginPod: one container and its pod as plugins are told of them, each event once and in order.
//
//   RunPodSandbox, CreateContainer, PostCreateContainer          BeginCreate ... Created
//   StartContainer, PostStartContainer                           Starting, Started      (again on each start)
//   StopContainer                                                Stopped
//   StopPodSandbox                                               StopPod
//   RemoveContainer, RemovePodSandbox                            Removed
//
// A create that fails is undone in the same order (StopContainer, StopPodSandbox, RemoveContainer,
// RemovePodSandbox) for those that were asked. The pod lives until the container is deleted, so that a
// container that is started again is in the same pod. What was told is remembered here: callers say what
// happened as often as they notice it.
//
// Owned by the container; used in its turn only (thread-compatible). Calls block while plugins answer,
// each for at most its timeout, under no lock. Source: containerd/nri; kubernetes-sigs/cri-tools
// pkg/validate/nri_linux.go.
#ifndef OCID_DAEMON_NRI_PLUGIN_POD_H_
#define OCID_DAEMON_NRI_PLUGIN_POD_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/nri/known_container.h"
#include "daemon/nri/plugin_calls.h"
#include "daemon/nri/plugin_context.h"
#include "daemon/nri/plugin_operation.h"

namespace ocid {

class PluginPod {
 public:
  using SpecText = std::shared_ptr<const std::string>;  // of a final spec

  PluginPod(PluginContext& context, PluginSubject subject);
  ~PluginPod();
  PluginPod(const PluginPod&) = delete;
  PluginPod& operator=(const PluginPod&) = delete;

  // A container of an earlier daemon, whose plugins are new to this one.
  void Restore(SpecText spec, const NriState& state);

  // The plugins that a create asks; until Created or CreateFailed. FAILED_PRECONDITION, PLUGIN_FAILED,
  // where a required one is missing.
  absl::StatusOr<PluginCalls*> BeginCreate();
  void Created(SpecText spec, const NriState& state);
  // Where something was told, it is undone. Nothing happens after Created.
  void CreateFailed();
  // What each plugin answered to the create that goes on, to be asked again without asking: see
  // RecordedCalls. Once.
  std::vector<RecordedAnswer> TakeAnswers();

  // `spec`: of the new generation where the container is started again; null: as before.
  absl::Status Starting(SpecText spec, const NriState& state);
  void Started(const NriState& state);
  void Stopped(const NriState& state);
  // Nothing of the container runs any more; then, nothing of it is left.
  void StopPod();
  void Removed();

  // The plugins that an update asks, about the container as it is; then the end of it.
  std::unique_ptr<PluginCalls> BeginUpdate();
  absl::Status Describe(const NriState& state, nri::UpdateContainerRequest* request) const;
  void Updated(const NriState& state);

 private:
  // After which plugins find the pod's network where it is, or not at all.
  void FindNetwork();
  void Tell(nri::Event event);
  void TellPlugins(const PluginTable::Plugins& plugins, nri::Event event);

  PluginContext& context_;
  PluginSubject subject_;
  std::unique_ptr<PluginOperation> creation_;           // until it has ended
  uint64_t creation_id_ = 0;
  std::shared_ptr<const KnownContainer> container_;     // null: plugins know nothing of it
  NriState state_;
  bool stop_told_ = false;
  bool pod_stop_told_ = false;
};

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_PLUGIN_POD_H_
