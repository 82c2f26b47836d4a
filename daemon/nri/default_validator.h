// The built-in validator: what an administrator forbids plugins as a whole, and which plugins must
// have been asked. It judges by who touched what, not by values.
//
// Pure; thread-safe, nothing blocks. Source: containerd/nri plugins/default-validator.
#ifndef OCID_DAEMON_NRI_DEFAULT_VALIDATOR_H_
#define OCID_DAEMON_NRI_DEFAULT_VALIDATOR_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/nri/plugin_calls.h"

namespace ocid {

// As validators are named in rejections.
inline constexpr std::string_view kDefaultValidatorName = "00-default-validator";

// More plugins that must have been asked, as a list in YAML or JSON, of one container or of its
// pod: KEY/container.NAME, KEY/pod, KEY.
inline constexpr std::string_view kRequiredPluginsAnnotation = "required-plugins.noderesource.dev";

struct DefaultValidatorOptions {
  bool enable = false;
  bool reject_oci_hook_adjustment = false;
  bool reject_runtime_default_seccomp_adjustment = false;
  bool reject_unconfined_seccomp_adjustment = false;  // also where there is no profile
  bool reject_custom_seccomp_adjustment = false;
  bool reject_namespace_adjustment = false;
  bool reject_sysctl_adjustment = false;
  std::vector<std::string> required_plugins;  // "name" or "NN-name"
  // A container with this annotation, true, does without required plugins. Empty: none does.
  std::string tolerate_missing_plugins_annotation;
};

// From the configuration: the names above, each of which is on where it is named, and
//   required_plugins=NAME+NAME   tolerate_missing_plugins_annotation=KEY
// INVALID_ARGUMENT for anything else. Any entry enables the validator.
absl::StatusOr<DefaultValidatorOptions> ParseDefaultValidator(
    const std::vector<std::string>& entries);

// OK, or why not; the words are for "validator ... rejected container adjustment, reason: ...". OK
// if it is not enabled.
absl::Status ValidateByDefault(const DefaultValidatorOptions& options,
                               const nri::ValidateContainerAdjustmentRequest& request);

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_DEFAULT_VALIDATOR_H_
