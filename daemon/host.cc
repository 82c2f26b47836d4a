#include "daemon/host.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/compiler/bundle_config.h"
#include "nlohmann/json.hpp"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/oci/oci_spec.h"
#include "runtime/plan/runtime_features.h"

namespace ocid {
namespace {

constexpr char kSupervisorName[] = "ocid-supervisor";
constexpr std::string_view kCdiVersion = "1.1.0";

void DescribeCgroups(const CgroupManager& cgroups, const CgroupLayout& layout, v1::Info& info) {
  info.set_cgroup_manager(std::string(CgroupManagerKindName(cgroups.kind())));
  info.set_cgroup_layout(std::string(CgroupModeName(layout.mode())));
  std::set<std::string> controllers = layout.unified_controllers;
  for (const V1Hierarchy& hierarchy : layout.v1) {
    controllers.insert(hierarchy.controllers.begin(), hierarchy.controllers.end());
  }
  for (const std::string& controller : controllers) info.add_cgroup_controllers(controller);
}

}  // namespace

absl::StatusOr<std::string> FindSupervisor(const std::string& configured) {
  std::vector<std::string> places;
  if (!configured.empty()) {
    places.push_back(configured);
  } else {
    std::error_code error;
    const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
    if (error) return absl::ErrnoToStatus(error.value(), "/proc/self/exe");
    const std::filesystem::path directory = self.parent_path();
    places.push_back(directory / kSupervisorName);
    places.push_back((directory / "../libexec/ocid" / kSupervisorName).lexically_normal());
  }
  std::string looked;
  for (const std::string& place : places) {
    if (access(place.c_str(), X_OK) == 0) return place;
    absl::StrAppend(&looked, looked.empty() ? "" : ", ", place);
  }
  return absl::NotFoundError(absl::StrCat("supervisor: no program at ", looked, " (--supervisor)"));
}

AdjustmentHost DescribeAdjustmentHost(const CgroupManager& cgroups) {
  AdjustmentHost host;
  host.check_resources = [&cgroups](const nlohmann::json& resources) {
    // Whose they are makes no difference to what can be enforced.
    return cgroups.Validate("check", "", resources);
  };
  if (access("/sys/fs/resctrl/schemata", F_OK) != 0) {
    host.no_intel_rdt = "this host has no resource control groups (/sys/fs/resctrl)";
  }
  host.propagation = [](const std::string& path) {
    std::ifstream file("/proc/self/mountinfo");
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    return PropagationOf(text, path);
  };
  return host;
}

SystemFacts DescribeSystem(const DaemonConfig& config, const CgroupManager& cgroups) {
  SystemFacts facts = ReadSystemFacts();
  v1::Info& info = facts.info;
  facts.capabilities.set_max_message_bytes(config.max_message_bytes);
  info.set_root_dir(config.root);
  info.set_state_dir(config.state);
  info.mutable_version()->set_oci_version_min(std::string(kOldestOciVersion));
  info.mutable_version()->set_oci_version_max(std::string(kOciVersion));
  const absl::StatusOr<CgroupLayout> read = ReadCgroupLayout();
  const CgroupLayout layout = read.ok() ? *read : CgroupLayout();
  DescribeCgroups(cgroups, layout, info);

  v1::Capabilities& capabilities = facts.capabilities;
  auto& features = *capabilities.mutable_features();
  for (const char* here :
       {"exec", "attach", "logs", "events", "cdi", "images", "seccomp", "spec-journal"}) {
    features[here] = true;
  }
  features["tcp"] =
      std::any_of(config.listen.begin(), config.listen.end(),
                  [](const std::string& address) { return address.starts_with("tcp://"); });
  const NriPlaces nri = NriPlacesOf(config);
  features["nri"] = !nri.socket.empty() || !nri.plugin_dir.empty();
  features["cgroups"] = cgroups.kind() != CgroupManagerKind::kNone;
  features["systemd"] = cgroups.kind() == CgroupManagerKind::kSystemd;
  capabilities.set_oci_features_json(RuntimeFeatures().dump());
  capabilities.set_cdi_version(std::string(kCdiVersion));
  capabilities.set_max_spec_bytes(kMaxSpecBytes);
  return facts;
}

std::string DefaultCgroupsPath(const DaemonConfig& config, CgroupManagerKind kind,
                               const std::string& container_id) {
  const CgroupManagerOptions defaults;
  const auto parent = [&config](const std::string& standard) {
    return config.cgroup_parent.empty() ? standard : config.cgroup_parent;
  };
  switch (kind) {
    case CgroupManagerKind::kSystemd:
      return absl::StrCat(parent(defaults.slice), ":ocid:", container_id);
    case CgroupManagerKind::kCgroupfs: {
      const std::string folder = parent(defaults.parent);
      return absl::StrCat(folder.starts_with('/') ? "" : "/", folder, "/", container_id);
    }
    default:
      return "";
  }
}

}  // namespace ocid
