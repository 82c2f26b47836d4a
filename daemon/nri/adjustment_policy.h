// What a plugin's policy keeps it from touching is taken out of its answer before anything else is
// done with it, and told.
//
// Pure functions: thread-safe, nothing blocks.
#ifndef OCID_DAEMON_NRI_ADJUSTMENT_POLICY_H_
#define OCID_DAEMON_NRI_ADJUSTMENT_POLICY_H_

#include <string>
#include <vector>

#include "daemon/nri/plugin_calls.h"

namespace ocid {

// Something a plugin asked for that does not happen.
struct NriIgnoredEdit {
  std::string pointer;         // into the spec; a container's id before it where it is another's
  std::string requested_json;  // what was asked for; may be empty
  std::string reason;

  friend bool operator==(const NriIgnoredEdit&, const NriIgnoredEdit&) = default;
};

// Takes out of `adjustment` every field that is not in `policy`'s, which may be absent. Rules for
// devices in resources go with devices.
std::vector<NriIgnoredEdit> RestrictAdjustment(const PluginPolicy& policy,
                                               nri::ContainerAdjustment* adjustment);

// The same for the resources of a container, in an adjustment or an update.
std::vector<NriIgnoredEdit> RestrictResources(const PluginPolicy& policy,
                                              nri::LinuxResources* resources);

// A message as JSON text, with the protocol's names.
std::string NriJson(const google::protobuf::Message& message);

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_ADJUSTMENT_POLICY_H_
