// ocirun features: what this program can do, whatever the host. Source: runtime-spec features.md.
#include <nlohmann/json.hpp>

#include "absl/strings/str_split.h"
#include "runtime/cli/command.h"
#include "runtime/cli/version.h"
#include "runtime/oci/oci_spec.h"
#include "runtime/plan/mount_options.h"
#include "runtime/plan/process_names.h"
#include "runtime/seccomp/seccomp_profile.h"

namespace ocid {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kCapabilities = 41;  // CAP_LAST_CAP + 1 of the names that process_names.h knows

Json Features() {
  const std::vector<std::string> capabilities =
      absl::StrSplit(CapabilityNames((uint64_t{1} << kCapabilities) - 1), ',');
  Json features;
  features["ociVersionMin"] = "1.0.0";
  features["ociVersionMax"] = std::string(kOciVersion);
  features["hooks"] = {"prestart",       "createRuntime", "createContainer",
                       "startContainer", "poststart",     "poststop"};
  features["mountOptions"] = KnownMountOptions();
  features["linux"] = {
      {"namespaces", {"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"}},
      {"capabilities", capabilities},
      {"cgroup",
       {{"v1", true}, {"v2", true}, {"systemd", true}, {"systemdUser", true}, {"rdma", true}}},
      {"seccomp",
       {{"enabled", true},
        {"actions", SeccompActionNames()},
        {"operators", SeccompOperatorNames()},
        {"archs", SeccompArchitectureNames()},
        {"knownFlags", SeccompFlagNames()},
        {"supportedFlags", SeccompFlagNames()}}},
      {"apparmor", {{"enabled", false}}},
      {"selinux", {{"enabled", false}}},
      {"intelRdt", {{"enabled", false}}},
      {"memoryPolicy",
       {{"modes",
         {"MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE",
          "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_LOCAL"}},
        {"flags", {"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"}}}},
      {"mountExtensions", {{"idmap", {{"enabled", false}}}}},
      {"netDevices", {{"enabled", false}}}};
  features["annotations"] = {{"io.ocid.ocirun.version", kOcirunVersion},
                             {"io.ocid.ocirun.commit", kOcirunCommit}};
  return features;
}

}  // namespace

absl::StatusOr<int> RunFeatures(const Invocation& /*invocation*/) {
  Print(Features().dump(2));
  return 0;
}

}  // namespace ocid
