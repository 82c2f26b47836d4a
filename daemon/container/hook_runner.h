// Runs the hooks that are due when a container's processes are gone: `poststop`.
//
// Every other hook runs where the container's setup is, in its supervisor (runtime/launch). These run
// when the supervisor has ended, hence here: one after the other, in the host's namespaces, with the
// container's state as JSON on their standard input and their output discarded. A hook that fails
// does not stop those after it. Blocks as long as they run, each at most its `timeout`.
//
// Source: opencontainers/runtime-spec config.md#posix-platform-hooks, runtime.md#lifecycle.
#ifndef OCID_DAEMON_CONTAINER_HOOK_RUNNER_H_
#define OCID_DAEMON_CONTAINER_HOOK_RUNNER_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "runtime/oci/oci_spec.h"

namespace ocid {

// False where the spec's text surely has no such hook, as most have none: then nobody needs to parse it.
inline bool MayHavePoststop(std::string_view spec_text) {
  return spec_text.find("\"poststop\"") != std::string_view::npos;
}

// `max_time` bounds a hook without a timeout of its own. The result has one entry for each hook that
// failed: HOOK_FAILED, naming it.
std::vector<absl::Status> RunPoststopHooks(const OciSpec& spec, const std::string& container_id,
                                           const std::string& bundle, absl::Duration max_time);

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_HOOK_RUNNER_H_
