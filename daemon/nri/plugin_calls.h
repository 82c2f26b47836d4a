// PluginCalls: the plugins of the Node Resource Interface as one operation on a container asks them.
//
// An operation gets one of these from NriHost and asks plugin by plugin, in the order of plugins();
// who joins later is not part of it. What a plugin may get wrong ends here: time limits, lost
// connections, policies about both, statistics. What its answer means (claims, conflicts, edits) is
// for the caller.
//
//   for (size_t i = 0; i < calls.plugins().size(); ++i) {
//     absl::StatusOr<CreateAnswer> answer = calls.CreateContainer(i, request);
//     if (!answer.ok()) return answer.status();          // the operation must fail
//     if (answer->outcome != PluginOutcome::kAnswered) continue;
//     ... answer->response ...
//   }
//
// Owned by the operation. Thread-compatible; each call blocks for up to the plugin's timeout, and no
// lock is held meanwhile. Source: containerd/nri, pkg/adaptation.
#ifndef OCID_DAEMON_NRI_PLUGIN_CALLS_H_
#define OCID_DAEMON_NRI_PLUGIN_CALLS_H_

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/internal/nri/nri.pb.h"

namespace ocid {

namespace nri = ::nri::pkg::api::v1alpha1;

// What the daemon's configuration says about a plugin. See daemon/nri/plugin_policy.h for its text.
struct PluginPolicy {
  // Creates fail while no plugin of this name is connected.
  bool required = false;
  // A call that gets no answer (timeout, lost connection) fails the operation. Otherwise the
  // operation goes on without the plugin. An error that a plugin answers fails it in any case.
  bool fail_closed = false;
  absl::Duration timeout = absl::Seconds(2);  // of one call
  // What it may touch. Absent: everything. For simple fields, each key of compound ones, and hooks.
  std::optional<std::set<nri::Field>> fields;
};

struct PluginInfo {
  std::string index;  // two digits
  std::string name;
  PluginPolicy policy;

  // As owners, conflicts and logs have it.
  std::string QualifiedName() const { return index + "-" + name; }
};

enum class PluginOutcome {
  kAnswered,       // `response` is what it said
  kNotSubscribed,  // it was not asked
  kUnavailable,    // it did not answer, and its policy lets the operation go on: `reason`
};

template <class Response>
struct PluginAnswer {
  PluginOutcome outcome = PluginOutcome::kNotSubscribed;
  Response response;
  std::string reason;
  absl::Duration duration;
};

using CreateAnswer = PluginAnswer<nri::CreateContainerResponse>;
using UpdateAnswer = PluginAnswer<nri::UpdateContainerResponse>;

// Of one validator.
struct ValidatorVerdict {
  size_t plugin = 0;  // index in plugins()
  bool accepted = false;
  std::string reason;  // why not: its own words, or why there is no answer
  absl::Duration duration;
};

// What the operation's container and pod look like to plugins, apart from what the spec says.
// DescribeContainer (daemon/nri/nri_container.h) makes a request's container of it and the spec.
struct PluginSubject {
  nri::PodSandbox pod;
  // Where the network namespace is (PodNetworks) that the spec gives no path; empty: there is none yet.
  std::string network_path;
  std::string container_id;
  std::string container_name;
  std::string image_name;             // empty where there is none, as the next two
  std::string image_digest;
  std::string image_config_digest;
  std::map<std::string, std::string> labels;
};

class PluginCalls {
 public:
  virtual ~PluginCalls() = default;

  // In the order in which they are to be asked: by index, then name, then arrival. All that are
  // connected, subscribed to the event or not: this is also who was consulted.
  virtual const std::vector<PluginInfo>& plugins() const = 0;

  // The container that the operation is about, and its pod.
  virtual const PluginSubject& subject() const = 0;

  // Asks plugins()[plugin]. An error is the operation's: FAILED_PRECONDITION, reason PLUGIN_FAILED,
  // with the plugin's name in the text and as metadata "plugin".
  virtual absl::StatusOr<CreateAnswer> CreateContainer(
      size_t plugin, const nri::CreateContainerRequest& request) = 0;
  virtual absl::StatusOr<UpdateAnswer> UpdateContainer(
      size_t plugin, const nri::UpdateContainerRequest& request) = 0;

  // Asks all validators at once and waits for all of them. One that does not answer, or answers an
  // error, does not accept. In the order of plugins(); empty if there is none.
  virtual std::vector<ValidatorVerdict> Validate(
      const nri::ValidateContainerAdjustmentRequest& request) = 0;

  // Changes other containers as plugins asked, after everything was accepted: updates first, each as
  // a live update of its container, then evictions. Unknown containers are skipped. The error names
  // the first update that failed and was not to be ignored; failed evictions are logged. Waits for
  // at most a few seconds; what has not happened by then still may.
  virtual absl::Status Apply(const std::vector<nri::ContainerUpdate>& updates,
                             const std::vector<nri::ContainerEviction>& evictions) = 0;
};

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_PLUGIN_CALLS_H_
