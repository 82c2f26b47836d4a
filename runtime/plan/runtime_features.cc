#include "runtime/plan/runtime_features.h"

#include <string>

#include "absl/strings/str_split.h"
#include "runtime/oci/oci_spec.h"
#include "runtime/plan/mount_options.h"
#include "runtime/plan/process_names.h"
#include "runtime/seccomp/seccomp_profile.h"

namespace ocid {

nlohmann::ordered_json RuntimeFeatures() {
  using Json = nlohmann::ordered_json;
  constexpr int kCapabilities = 41;  // CAP_LAST_CAP + 1 of the names that process_names.h knows
  const std::vector<std::string> capabilities =
      absl::StrSplit(CapabilityNames((uint64_t{1} << kCapabilities) - 1), ',');
  const Json enabled = {{"enabled", true}};
  Json features;
  features["ociVersionMin"] = std::string(kOldestOciVersion);
  features["ociVersionMax"] = std::string(kOciVersion);
  features["hooks"] = {"prestart",       "createRuntime", "createContainer",
                       "startContainer", "poststart",     "poststop"};
  features["mountOptions"] = KnownMountOptions();
  features["linux"] = {
      {"namespaces", {"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"}},
      {"capabilities", capabilities},
      {"cgroup",
       {{"v1", true}, {"v2", true}, {"systemd", true}, {"systemdUser", false}, {"rdma", true}}},
      {"seccomp",
       {{"enabled", true},
        {"actions", SeccompActionNames()},
        {"operators", SeccompOperatorNames()},
        {"archs", SeccompArchitectureNames()},
        {"knownFlags", SeccompFlagNames()},
        {"supportedFlags", SeccompFlagNames()}}},
      {"apparmor", enabled},
      {"selinux", enabled},
      {"intelRdt", {{"enabled", true}, {"schemata", true}, {"monitoring", true}}},
      {"memoryPolicy",
       {{"modes",
         {"MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE",
          "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_LOCAL"}},
        {"flags", {"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"}}}},
      {"mountExtensions", {{"idmap", enabled}}},
      {"netDevices", enabled}};
  // What they set of a systemd unit, a file from a stranger should not.
  features["potentiallyUnsafeConfigAnnotations"] = {"org.systemd.property."};
  return features;
}

}  // namespace ocid
