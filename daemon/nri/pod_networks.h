// PodNetworks: network namespaces that exist before a container's process and after it.
//
//   DIR/<container id>   a file that the namespace is bound to, as ip-netns(8) does it
//
// NRI plugins that work on a pod's network look for it by a path, when the pod is made and before its
// container is, and once more when nothing of the container runs: RunPodSandbox and StopPodSandbox. A
// container with a network namespace of its own that no path names gets one from here where there are such
// plugins. It outlives the daemon, and the container's process: a container that is started again is in it
// again.
//
// The bind is in the daemon's mount namespace. Thread-safe but for two calls about one id. Errors:
// LAUNCH_FAILED with the system call and errno. Sources: network_namespaces(7), namespaces(7), ip-netns(8).
#ifndef OCID_DAEMON_NRI_POD_NETWORKS_H_
#define OCID_DAEMON_NRI_POD_NETWORKS_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class PodNetworks {
 public:
  // Makes the directory where it is missing. It should be gone after a boot, as the namespaces are.
  static absl::StatusOr<std::unique_ptr<PodNetworks>> Open(const std::string& directory);

  std::string PathFor(const std::string& container_id) const;
  bool Has(const std::string& container_id) const;

  // A new namespace with nothing but a loopback device that is down. One that is there is replaced.
  absl::Status Make(const std::string& container_id);
  // Makes the next one's namespace in advance, which takes longer than all the rest: call it when nobody
  // waits. Nothing happens before the first Make, and what nobody takes within a second is not used.
  void MakeSpare();
  // Takes the name away. The namespace goes when no process is in it. OK where there is none.
  absl::Status Remove(const std::string& container_id) const;
  // Removes what an earlier daemon left of containers that are not kept.
  absl::Status RemoveUnless(const std::function<bool(const std::string& container_id)>& kept) const;

 private:
  explicit PodNetworks(std::string directory) : directory_(std::move(directory)) {}
  UniqueFd TakeSpare();

  const std::string directory_;
  Mutex mutex_;
  bool spare_wanted_ ABSL_GUARDED_BY(mutex_) = false;
  UniqueFd spare_ ABSL_GUARDED_BY(mutex_);  // a namespace without a name; may be invalid
  std::chrono::steady_clock::time_point spare_time_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_POD_NETWORKS_H_
