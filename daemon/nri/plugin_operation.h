// PluginOperation: the plugins that are connected, as one create or update asks them.
//
// Thread-compatible; calls block as PluginCalls says. What PluginCalls promises about policies is done
// here: whoever does not answer in time is out of it, and so is the operation where the policy is to fail.
#ifndef OCID_DAEMON_NRI_PLUGIN_OPERATION_H_
#define OCID_DAEMON_NRI_PLUGIN_OPERATION_H_

#include <set>
#include <string>
#include <vector>

#include "daemon/nri/plugin_calls.h"
#include "daemon/nri/plugin_context.h"

namespace ocid {

// What a plugin answered to a create.
struct RecordedAnswer {
  std::string index;
  std::string name;
  std::string response;  // bytes of a nri.CreateContainerResponse
};

class PluginOperation final : public PluginCalls {
 public:
  PluginOperation(PluginContext& context, PluginSubject subject, PluginTable::Plugins plugins,
                  PluginTable::Plugins joining);

  const std::vector<PluginInfo>& plugins() const override { return infos_; }
  const PluginSubject& subject() const override { return subject_; }
  absl::StatusOr<CreateAnswer> CreateContainer(size_t plugin,
                                               const nri::CreateContainerRequest& request) override;
  absl::StatusOr<UpdateAnswer> UpdateContainer(size_t plugin,
                                               const nri::UpdateContainerRequest& request) override;
  std::vector<ValidatorVerdict> Validate(
      const nri::ValidateContainerAdjustmentRequest& request) override;
  absl::Status Apply(const std::vector<nri::ContainerUpdate>& updates,
                     const std::vector<nri::ContainerEviction>& evictions) override;

  // Whether RunPodSandbox has been told to `plugin`.
  bool Told(const Plugin* plugin) const { return told_.contains(plugin); }
  // Tells whoever was told of the pod that there will be none.
  void Undo();
  std::vector<RecordedAnswer> TakeAnswers() { return std::move(answers_); }

 private:
  // The first call of a create tells everybody of the pod.
  absl::Status RunPod(const nri::CreateContainerRequest& request);
  template <class Response>
  absl::StatusOr<PluginAnswer<Response>> Ask(size_t plugin, nri::Event event,
                                             const std::string& request);

  PluginContext& context_;
  PluginSubject subject_;
  const PluginTable::Plugins plugins_;
  std::vector<PluginInfo> infos_;
  PluginTable::Plugins joining_;         // not known yet whether they take part
  std::set<const Plugin*> left_out_;
  std::set<const Plugin*> told_;
  bool pod_ran_ = false;
  bool asked_ = false;
  EncodedContainer parts_;               // of the first request
  std::vector<RecordedAnswer> answers_;
};

// The answers of an earlier create once more, for a container that is started again: nobody is asked, and
// nothing is done to other containers. `answers` in the order of the plugins.
class RecordedCalls final : public PluginCalls {
 public:
  RecordedCalls(PluginSubject subject, std::vector<RecordedAnswer> answers,
                const PluginPolicies& policies);

  const std::vector<PluginInfo>& plugins() const override { return infos_; }
  const PluginSubject& subject() const override { return subject_; }
  absl::StatusOr<CreateAnswer> CreateContainer(size_t plugin,
                                               const nri::CreateContainerRequest& request) override;
  absl::StatusOr<UpdateAnswer> UpdateContainer(size_t plugin,
                                               const nri::UpdateContainerRequest& request) override;
  std::vector<ValidatorVerdict> Validate(
      const nri::ValidateContainerAdjustmentRequest& request) override;
  absl::Status Apply(const std::vector<nri::ContainerUpdate>& updates,
                     const std::vector<nri::ContainerEviction>& evictions) override;

 private:
  const PluginSubject subject_;
  const std::vector<RecordedAnswer> answers_;
  std::vector<PluginInfo> infos_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_PLUGIN_OPERATION_H_
