// PluginPolicies: what the daemon's configuration says about plugins, by name.
//
//   NAME[,required][,fail-open|fail-closed][,timeout=DURATION][,fields=FIELD+FIELD...]
//
//   10-device-injector,required,fail-closed,timeout=500ms,fields=Devices+Mounts
//   *,timeout=1s
//
// NAME is a plugin's name, with its index or without, or `*` for what no other entry names. FIELD is a
// field's name as conflicts have it, such as Env, Mounts or MemLimit, in any case. `fields=` without any
// lets a plugin look and touch nothing.
//
// A value: thread-compatible; nothing blocks.
#ifndef OCID_DAEMON_NRI_PLUGIN_POLICY_H_
#define OCID_DAEMON_NRI_PLUGIN_POLICY_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/nri/plugin_calls.h"

namespace ocid {

class PluginPolicies {
 public:
  // INVALID_ARGUMENT says what is wrong with which entry.
  static absl::StatusOr<PluginPolicies> Parse(const std::vector<std::string>& entries);

  // The policy of a plugin: its entry with the index, else by name, else `*`, else the default.
  PluginPolicy For(std::string_view index, std::string_view name) const;

  // Names of required plugins, as the entries have them.
  std::vector<std::string> Required() const;

 private:
  std::map<std::string, PluginPolicy, std::less<>> by_name_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_PLUGIN_POLICY_H_
