// CDI edits applied to an OCI spec.
//
// The order of one set of edits: environment, device nodes, network devices, mounts, hooks, Intel
// RDT, group ids. What a device node leaves out (type, numbers, mode) comes from the host's node of
// now: nothing is cached, because devices are renumbered when drivers are loaded again.
//
// Thread-safe for different documents. Blocks on lstat(2) for device nodes.
// Source: CDI SPEC.md 1.1, pkg/cdi/container-edits.go of the reference.
#ifndef OCID_DAEMON_CDI_CDI_INJECT_H_
#define OCID_DAEMON_CDI_CDI_INJECT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/cdi/cdi_spec.h"

namespace ocid {

// A device node of the host.
struct HostNode {
  char type = 'c';  // 'b', 'c' or 'p'
  int64_t major = 0;
  int64_t minor = 0;
  uint32_t permissions = 0;  // of its mode: 0 to 07777
};

// NOT_FOUND if there is nothing at the path, FAILED_PRECONDITION if it is no device node: a
// symlink, which is not followed, too.
absl::StatusOr<HostNode> StatHostNode(const std::string& path);
using HostNodeReader = std::function<absl::StatusOr<HostNode>(const std::string& path)>;

// Where edits can have changed a document.
struct CdiChanges {
  std::vector<std::string_view> members;  // of the root
  size_t kept_mounts = 0;                 // at the front of /mounts
};

// Applies the edits. After an error the document may have some of them: work on a copy.
absl::StatusOr<CdiChanges> ApplyCdiEdits(const CdiEdits& edits, nlohmann::json& document,
                                         const HostNodeReader& read_node = StatHostNode);

}  // namespace ocid

#endif  // OCID_DAEMON_CDI_CDI_INJECT_H_
