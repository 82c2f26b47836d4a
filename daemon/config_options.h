// The keys of the configuration: the command line, the file and --check-config all go by this table.
//
// Internal to config.cc. Pure and thread-safe.
#ifndef OCID_DAEMON_CONFIG_OPTIONS_H_
#define OCID_DAEMON_CONFIG_OPTIONS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "daemon/config.h"

namespace ocid {

struct ConfigOption {
  enum class Kind { kValue, kList, kSwitch };
  // One value as text; of a list, any number.
  using Values = std::vector<std::string>;

  const char* name;
  const char* value_name;  // what --help calls it
  const char* help;
  Kind kind;
  // Replaces what the configuration has. INVALID_ARGUMENT quotes what it cannot be, and leaves the
  // configuration of no more use.
  std::function<absl::Status(DaemonConfig& config, const Values& values)> set;
  std::function<Values(const DaemonConfig& config)> get;
};

// In the order of --help.
const std::vector<ConfigOption>& ConfigOptions();

}  // namespace ocid

#endif  // OCID_DAEMON_CONFIG_OPTIONS_H_
