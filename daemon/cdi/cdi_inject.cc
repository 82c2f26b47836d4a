#include "daemon/cdi/cdi_inject.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/spec_edit.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

// The id of the container's process, if it is not root's: it should own its devices.
std::optional<uint32_t> ProcessId(const Json& document, std::string_view pointer) {
  const Json* id = ResolvePointer(document, pointer);
  if (id == nullptr || !id->is_number_unsigned()) return std::nullopt;
  const auto value = id->get<uint64_t>();
  if (value == 0 || value > UINT32_MAX) return std::nullopt;
  return static_cast<uint32_t>(value);
}

absl::Status FillFromHost(const HostNodeReader& read_node, CdiDeviceNode& node) {
  const std::string& path = node.host_path.empty() ? node.path : node.host_path;
  const absl::StatusOr<HostNode> host = read_node(path);
  const bool complete = !node.type.empty() && (node.major != 0 || node.type == "p");
  if (!host.ok()) {
    if (complete) return absl::OkStatus();
    return absl::Status(host.status().code(),
                        absl::StrCat("device node ", node.path, ": ", host.status().message()));
  }
  if (!node.file_mode.has_value()) node.file_mode = host->permissions;
  // Who says everything is taken at their word, also where the host disagrees.
  if (complete) return absl::OkStatus();
  const std::string type(1, host->type);
  if (node.type.empty()) node.type = type;
  if (node.type != type) {
    return absl::FailedPreconditionError(absl::StrCat("device node ", node.path, ": ", path,
                                                      " is of type ", type, ", not ", node.type));
  }
  if (node.type != "p") {
    node.major = host->major;
    node.minor = host->minor;
  }
  return absl::OkStatus();
}

absl::Status AddDeviceNode(CdiDeviceNode node, const HostNodeReader& read_node, Json& document) {
  absl::Status status = FillFromHost(read_node, node);
  if (!status.ok()) return status;
  Json device = {
      {"path", node.path}, {"type", node.type}, {"major", node.major}, {"minor", node.minor}};
  if (node.file_mode.has_value()) device["fileMode"] = *node.file_mode;
  if (!node.uid.has_value()) node.uid = ProcessId(document, "/process/user/uid");
  if (!node.gid.has_value()) node.gid = ProcessId(document, "/process/user/gid");
  if (node.uid.has_value()) device["uid"] = *node.uid;
  if (node.gid.has_value()) device["gid"] = *node.gid;

  RemoveByMember({"linux", "devices"}, "path", node.path, document);
  status = PutByMember({"linux", "devices"}, "path", std::move(device), document);
  if (!status.ok() || (node.type != "b" && node.type != "c")) return status;
  const absl::StatusOr<Json*> rules = EnsureArray({"linux", "resources", "devices"}, document);
  if (!rules.ok()) return rules.status();
  const std::string access = node.permissions.empty()     ? "rwm"
                             : node.permissions == "none" ? ""
                                                          : node.permissions;
  (*rules)->push_back({{"allow", true},
                       {"type", node.type},
                       {"major", node.major},
                       {"minor", node.minor},
                       {"access", access}});
  return absl::OkStatus();
}

bool HasUserNamespace(const Json& document) {
  const Json* namespaces = ResolvePointer(document, "/linux/namespaces");
  if (namespaces == nullptr || !namespaces->is_array()) return false;
  return std::any_of(namespaces->begin(), namespaces->end(), [](const Json& entry) {
    const Json* type = FindMember(entry, "type");
    return type != nullptr && *type == "user";
  });
}

// Files of the host would belong to nobody inside: a bind mount takes the mapping along.
void AddIdMapOption(const CdiMount& mount, std::vector<std::string>& options) {
  const auto has = [&options](std::string_view option) {
    return std::find(options.begin(), options.end(), option) != options.end();
  };
  if (has("idmap") || has("ridmap")) return;
  if (has("rbind")) {
    options.emplace_back("ridmap");
  } else if (has("bind") || mount.type == "bind") {
    options.emplace_back("idmap");
  }
}

absl::Status AddMounts(const std::vector<CdiMount>& mounts, Json& document, size_t* kept) {
  if (mounts.empty()) return absl::OkStatus();
  const bool id_mapped = HasUserNamespace(document);
  std::vector<Json> objects;
  for (const CdiMount& mount : mounts) {
    Json object = {{"destination", mount.container_path}, {"source", mount.host_path}};
    if (!mount.type.empty()) object["type"] = mount.type;
    std::vector<std::string> options = mount.options;
    if (id_mapped) AddIdMapOption(mount, options);
    if (!options.empty()) object["options"] = std::move(options);
    objects.push_back(std::move(object));
  }
  const absl::StatusOr<size_t> same = PutMountsByDepth(std::move(objects), document);
  if (same.ok()) *kept = *same;
  return same.status();
}

absl::Status AddHooks(const std::vector<CdiHook>& hooks, Json& document) {
  for (const CdiHook& hook : hooks) {
    Json object = {{"path", hook.path}};
    if (!hook.args.empty()) object["args"] = hook.args;
    if (!hook.env.empty()) object["env"] = hook.env;
    if (hook.timeout.has_value()) object["timeout"] = *hook.timeout;
    absl::Status status = AddHook(hook.hook_name, std::move(object), document);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status SetIntelRdt(const CdiIntelRdt& rdt, Json& document) {
  const absl::StatusOr<Json*> linux_object = EnsureObject({"linux"}, document);
  if (!linux_object.ok()) return linux_object.status();
  Json object = Json::object();
  if (!rdt.clos_id.empty()) object["closID"] = rdt.clos_id;
  if (!rdt.l3_cache_schema.empty()) object["l3CacheSchema"] = rdt.l3_cache_schema;
  if (!rdt.mem_bw_schema.empty()) object["memBwSchema"] = rdt.mem_bw_schema;
  if (!rdt.schemata.empty()) object["schemata"] = rdt.schemata;
  if (rdt.enable_monitoring) object["enableMonitoring"] = true;
  (**linux_object)["intelRdt"] = std::move(object);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HostNode> StatHostNode(const std::string& path) {
  struct stat stat = {};
  if (::lstat(path.c_str(), &stat) != 0) {
    const int error = errno;
    const absl::StatusCode code = error == ENOENT || error == ENOTDIR
                                      ? absl::StatusCode::kNotFound
                                      : absl::StatusCode::kFailedPrecondition;
    return absl::Status(code, absl::StrCat(path, ": ", std::strerror(error)));
  }
  HostNode node;
  switch (stat.st_mode & S_IFMT) {
    case S_IFBLK:
      node.type = 'b';
      break;
    case S_IFCHR:
      node.type = 'c';
      break;
    case S_IFIFO:
      node.type = 'p';
      break;
    default:
      return absl::FailedPreconditionError(absl::StrCat(path, ": not a device node"));
  }
  node.major = major(stat.st_rdev);
  node.minor = minor(stat.st_rdev);
  node.permissions = stat.st_mode & 07777;
  return node;
}

absl::StatusOr<CdiChanges> ApplyCdiEdits(const CdiEdits& edits, Json& document,
                                         const HostNodeReader& read_node) {
  CdiChanges changes;
  for (const std::string& entry : edits.env) {
    const size_t equals = entry.find('=');
    absl::Status status = SetEnv(std::string_view(entry).substr(0, equals),
                                 std::string_view(entry).substr(equals + 1), document);
    if (!status.ok()) return status;
  }
  for (const CdiDeviceNode& node : edits.device_nodes) {
    absl::Status status = AddDeviceNode(node, read_node, document);
    if (!status.ok()) return status;
  }
  for (const CdiNetDevice& device : edits.net_devices) {
    const absl::StatusOr<Json*> devices = EnsureObject({"linux", "netDevices"}, document);
    if (!devices.ok()) return devices.status();
    (**devices)[device.host_interface_name] = {{"name", device.name}};
  }
  absl::Status status = AddMounts(edits.mounts, document, &changes.kept_mounts);
  if (!status.ok()) return status;
  status = AddHooks(edits.hooks, document);
  if (!status.ok()) return status;
  if (edits.intel_rdt.has_value()) {
    status = SetIntelRdt(*edits.intel_rdt, document);
    if (!status.ok()) return status;
  }
  for (const uint32_t gid : edits.additional_gids) {
    if (gid == 0) continue;  // as in the reference: root's group is nothing to hand out
    status = AddAdditionalGid(gid, document);
    if (!status.ok()) return status;
  }
  if (!edits.mounts.empty()) changes.members.push_back("mounts");
  if (!edits.hooks.empty()) changes.members.push_back("hooks");
  if (!edits.env.empty() || !edits.additional_gids.empty()) changes.members.push_back("process");
  if (!edits.device_nodes.empty() || !edits.net_devices.empty() || edits.intel_rdt.has_value()) {
    changes.members.push_back("linux");
  }
  return changes;
}

}  // namespace ocid
