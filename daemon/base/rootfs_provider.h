// RootfsProvider: who makes the root file systems of containers that do not bring their own.
//
// Thread-safe; calls for one container come one at a time. Calls block.
#ifndef OCID_DAEMON_BASE_ROOTFS_PROVIDER_H_
#define OCID_DAEMON_BASE_ROOTFS_PROVIDER_H_

#include <string>

#include "absl/status/status.h"

namespace ocid {

class RootfsProvider {
 public:
  virtual ~RootfsProvider() = default;

  // Makes the root file system at `root_path`, which the container's spec names; one that is there is
  // left as it is.
  virtual absl::Status Prepare(const std::string& container_id, const std::string& root_path) = 0;

  // Removes it with all that the container wrote. OK where there is none.
  virtual absl::Status Release(const std::string& container_id) = 0;
};

}  // namespace ocid

#endif  // OCID_DAEMON_BASE_ROOTFS_PROVIDER_H_
