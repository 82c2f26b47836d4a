// CdiSpec: one file of the Container Device Interface, parsed and validated.
//
// Versions 0.3.0 to 1.1.0. Reading follows the reference: YAML rules for every file, keys whatever
// their case, unknown and duplicate keys refused, unquoted scalars taken for strings where a string
// belongs, modes such as 0666 in octal. Members that an older version had and a newer one dropped
// (enableCMT, enableMBM) are accepted and have no effect.
//
// A value; thread-compatible; nothing blocks. Source: CDI SPEC.md 1.1.
#ifndef OCID_DAEMON_CDI_CDI_SPEC_H_
#define OCID_DAEMON_CDI_CDI_SPEC_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace ocid {

struct CdiDeviceNode {
  std::string path;
  std::string host_path;  // empty: as path
  std::string type;       // "", "b", "c", "u" or "p"
  int64_t major = 0;
  int64_t minor = 0;
  std::optional<uint32_t> file_mode;
  std::string permissions;  // letters of "rwm", or "none"; empty: "rwm"
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
};

struct CdiNetDevice {
  std::string host_interface_name;
  std::string name;
};

struct CdiHook {
  std::string hook_name;
  std::string path;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::optional<int64_t> timeout;  // seconds
};

struct CdiMount {
  std::string host_path;
  std::string container_path;
  std::string type;
  std::vector<std::string> options;
};

struct CdiIntelRdt {
  std::string clos_id;
  std::string l3_cache_schema;
  std::string mem_bw_schema;
  std::vector<std::string> schemata;
  bool has_schemata = false;
  bool enable_monitoring = false;
};

struct CdiEdits {
  std::vector<std::string> env;
  std::vector<CdiDeviceNode> device_nodes;
  std::vector<CdiNetDevice> net_devices;
  std::vector<CdiHook> hooks;
  std::vector<CdiMount> mounts;
  std::optional<CdiIntelRdt> intel_rdt;
  std::vector<uint32_t> additional_gids;

  bool empty() const {
    return env.empty() && device_nodes.empty() && net_devices.empty() && hooks.empty() &&
           mounts.empty() && !intel_rdt.has_value() && additional_gids.empty();
  }
};

struct CdiDevice {
  std::string name;
  std::map<std::string, std::string> annotations;
  CdiEdits edits;
};

struct CdiSpec {
  std::string version;  // as written, without a leading "v"
  std::string vendor;
  std::string device_class;
  std::map<std::string, std::string> annotations;
  std::vector<CdiDevice> devices;
  CdiEdits edits;  // once per container that gets any device of the file

  std::string Kind() const { return vendor + "/" + device_class; }
};

// INVALID_ARGUMENT, with "line N: " where one line is to blame.
absl::StatusOr<CdiSpec> ParseCdiSpec(std::string_view text);

// The lowest version that has everything the spec uses.
std::string_view RequiredCdiVersion(const CdiSpec& spec);

// The edits as the JSON of a CDI file; members that are empty are left out.
std::string CdiEditsJson(const CdiEdits& edits);

}  // namespace ocid

#endif  // OCID_DAEMON_CDI_CDI_SPEC_H_
