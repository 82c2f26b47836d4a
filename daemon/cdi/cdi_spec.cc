#include "daemon/cdi/cdi_spec.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <type_traits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/cdi/cdi_name.h"
#include "daemon/cdi/yaml_tree.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 10> kVersions = {
    "0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0"};
constexpr size_t kVersion030 = 2;
constexpr size_t kVersion040 = 3;
constexpr size_t kVersion050 = 4;
constexpr size_t kVersion060 = 5;
constexpr size_t kVersion070 = 6;
constexpr size_t kVersion110 = 9;

absl::Status At(const YamlNode& node, std::string_view why) {
  const absl::string_view text(why.data(), why.size());
  if (node.line == 0) return absl::InvalidArgumentError(text);
  return absl::InvalidArgumentError(absl::StrCat("line ", node.line, ": ", text));
}

// ---- Decoding. A null leaves the field as it is, as it does in the reference.

absl::Status Decode(const YamlNode& node, CdiDeviceNode& out);
absl::Status Decode(const YamlNode& node, CdiNetDevice& out);
absl::Status Decode(const YamlNode& node, CdiHook& out);
absl::Status Decode(const YamlNode& node, CdiMount& out);
absl::Status Decode(const YamlNode& node, CdiIntelRdt& out);
absl::Status Decode(const YamlNode& node, CdiEdits& out);
absl::Status Decode(const YamlNode& node, CdiDevice& out);

absl::Status Decode(const YamlNode& node, std::string& out) {
  if (node.kind == YamlNode::Kind::kNull) return absl::OkStatus();
  if (node.kind != YamlNode::Kind::kScalar) return At(node, "must be a string");
  out = node.text;
  return absl::OkStatus();
}

absl::Status Decode(const YamlNode& node, bool& out) {
  if (node.kind == YamlNode::Kind::kNull) return absl::OkStatus();
  const std::string text = absl::AsciiStrToLower(node.text);
  if (node.kind == YamlNode::Kind::kScalar && !node.quoted) {
    if (text == "true" || text == "yes" || text == "on") {
      out = true;
      return absl::OkStatus();
    }
    if (text == "false" || text == "no" || text == "off") {
      out = false;
      return absl::OkStatus();
    }
  }
  return At(node, "must be true or false");
}

// 2.0 and 1e2 are whole numbers too.
std::optional<int64_t> ParseWholeFloat(std::string_view text, bool negative) {
  constexpr double kExactBelow = 9007199254740992.0;  // 2^53
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value < kExactBelow) ||
      value < 0 || value != std::floor(value)) {
    return std::nullopt;
  }
  return static_cast<int64_t>(negative ? -value : value);
}

std::optional<int64_t> ParseInteger(std::string_view text) {
  bool negative = false;
  if (text.starts_with('-') || text.starts_with('+')) {
    negative = text.front() == '-';
    text.remove_prefix(1);
  }
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    base = 16;
    text.remove_prefix(2);
  } else if (text.starts_with("0o")) {
    base = 8;
    text.remove_prefix(2);
  } else if (text.starts_with("0b")) {
    base = 2;
    text.remove_prefix(2);
  } else if (text.size() > 1 && text.front() == '0') {
    base = 8;  // YAML 1.1: 0666
  }
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size() || value > INT64_MAX) {
    return base == 10 ? ParseWholeFloat(text, negative) : std::nullopt;
  }
  return negative ? -static_cast<int64_t>(value) : static_cast<int64_t>(value);
}

absl::Status Decode(const YamlNode& node, int64_t& out) {
  if (node.kind == YamlNode::Kind::kNull) return absl::OkStatus();
  if (node.kind != YamlNode::Kind::kScalar || node.quoted) return At(node, "must be a number");
  const std::optional<int64_t> value = ParseInteger(node.text);
  if (!value.has_value()) {
    return At(node, absl::StrCat("\"", node.text.substr(0, 40), "\" is not a whole number"));
  }
  out = *value;
  return absl::OkStatus();
}

absl::Status Decode(const YamlNode& node, uint32_t& out) {
  int64_t value = out;
  absl::Status status = Decode(node, value);
  if (!status.ok()) return status;
  if (value < 0 || value > UINT32_MAX) return At(node, absl::StrCat(value, " is out of range"));
  out = static_cast<uint32_t>(value);
  return absl::OkStatus();
}

template <typename T>
absl::Status Decode(const YamlNode& node, std::optional<T>& out) {
  if (node.kind == YamlNode::Kind::kNull) return absl::OkStatus();
  return Decode(node, out.emplace());
}

template <typename T>
absl::Status Decode(const YamlNode& node, std::vector<T>& out) {
  if (node.kind == YamlNode::Kind::kNull) return absl::OkStatus();
  if (node.kind != YamlNode::Kind::kSequence) return At(node, "must be a list");
  out.clear();
  out.reserve(node.elements.size());
  for (const YamlNode& element : node.elements) {
    absl::Status status = Decode(element, out.emplace_back());
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Decode(const YamlNode& node, std::map<std::string, std::string>& out) {
  if (node.kind == YamlNode::Kind::kNull) return absl::OkStatus();
  if (node.kind != YamlNode::Kind::kMap) return At(node, "must be a map");
  for (const auto& [key, value] : node.members) {
    absl::Status status = Decode(value, out[key]);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

struct Field {
  std::string_view name;
  std::function<absl::Status(const YamlNode&)> decode;
};

template <typename T>
Field Into(std::string_view name, T& target) {
  return {name, [&target](const YamlNode& node) { return Decode(node, target); }};
}

Field Dropped(std::string_view name) {
  return {name, [](const YamlNode&) { return absl::OkStatus(); }};
}

absl::Status DecodeFields(const YamlNode& node, const std::vector<Field>& fields) {
  if (node.kind == YamlNode::Kind::kNull) return absl::OkStatus();
  if (node.kind != YamlNode::Kind::kMap) return At(node, "must be a map");
  std::set<std::string_view> seen;
  for (const auto& [key, value] : node.members) {
    const auto field =
        std::find_if(fields.begin(), fields.end(), [&name = key](const Field& candidate) {
          return absl::EqualsIgnoreCase(
              name, absl::string_view(candidate.name.data(), candidate.name.size()));
        });
    if (field == fields.end()) {
      return At(value, absl::StrCat("unknown field \"", key.substr(0, 100), "\""));
    }
    if (!seen.insert(field->name).second) {
      return At(value, absl::StrCat("field \"", key, "\" occurs twice"));
    }
    absl::Status status = field->decode(value);
    if (!status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(status.message(), " (", key, ")"));
    }
  }
  return absl::OkStatus();
}

absl::Status Decode(const YamlNode& node, CdiDeviceNode& out) {
  return DecodeFields(
      node, {Into("path", out.path), Into("hostPath", out.host_path), Into("type", out.type),
             Into("major", out.major), Into("minor", out.minor), Into("fileMode", out.file_mode),
             Into("permissions", out.permissions), Into("uid", out.uid), Into("gid", out.gid)});
}

absl::Status Decode(const YamlNode& node, CdiNetDevice& out) {
  return DecodeFields(node,
                      {Into("hostInterfaceName", out.host_interface_name), Into("name", out.name)});
}

absl::Status Decode(const YamlNode& node, CdiHook& out) {
  return DecodeFields(
      node, {Into("hookName", out.hook_name), Into("path", out.path), Into("args", out.args),
             Into("env", out.env), Into("timeout", out.timeout)});
}

absl::Status Decode(const YamlNode& node, CdiMount& out) {
  return DecodeFields(node,
                      {Into("hostPath", out.host_path), Into("containerPath", out.container_path),
                       Into("options", out.options), Into("type", out.type)});
}

absl::Status Decode(const YamlNode& node, CdiIntelRdt& out) {
  absl::Status status =
      DecodeFields(node, {Into("closID", out.clos_id), Into("l3CacheSchema", out.l3_cache_schema),
                          Into("memBwSchema", out.mem_bw_schema), Into("schemata", out.schemata),
                          Into("enableMonitoring", out.enable_monitoring), Dropped("enableCMT"),
                          Dropped("enableMBM")});
  // A list without elements is a use of the field too.
  for (const auto& [key, value] : node.members) {
    if (absl::EqualsIgnoreCase(key, "schemata")) {
      out.has_schemata = value.kind == YamlNode::Kind::kSequence;
    }
  }
  return status;
}

absl::Status Decode(const YamlNode& node, CdiEdits& out) {
  return DecodeFields(node, {Into("env", out.env), Into("deviceNodes", out.device_nodes),
                             Into("netDevices", out.net_devices), Into("hooks", out.hooks),
                             Into("mounts", out.mounts), Into("intelRdt", out.intel_rdt),
                             Into("additionalGids", out.additional_gids)});
}

absl::Status Decode(const YamlNode& node, CdiDevice& out) {
  return DecodeFields(node, {Into("name", out.name), Into("annotations", out.annotations),
                             Into("containerEdits", out.edits)});
}

// ---- Validation

absl::Status Invalid(std::string_view what, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(absl::string_view(what.data(), what.size()), ": ",
                                                 absl::string_view(why.data(), why.size())));
}

absl::Status CheckEnv(const std::vector<std::string>& env) {
  for (const std::string& entry : env) {
    const size_t equals = entry.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return Invalid("env", absl::StrCat("\"", entry.substr(0, 100), "\" is not NAME=value"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckDeviceNode(const CdiDeviceNode& node) {
  if (node.path.empty()) return Invalid("deviceNodes", "a device needs a path");
  const std::string what = absl::StrCat("device ", node.path);
  if (!node.type.empty() && (node.type.size() != 1 || !absl::StrContains("bcup", node.type))) {
    return Invalid(what, absl::StrCat("type \"", node.type, "\" is none of b, c, u and p"));
  }
  // In a cgroup rule -1 stands for every number.
  if (node.major < 0 || node.minor < 0) return Invalid(what, "numbers must not be negative");
  if (node.permissions != "none" &&
      node.permissions.find_first_not_of("rwm") != std::string::npos) {
    return Invalid(what, absl::StrCat("permissions \"", node.permissions,
                                      "\" may only hold r, w and m, or be none"));
  }
  return absl::OkStatus();
}

absl::Status CheckHook(const CdiHook& hook) {
  constexpr std::array<std::string_view, 6> kNames = {
      "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"};
  if (std::find(kNames.begin(), kNames.end(), hook.hook_name) == kNames.end()) {
    return Invalid("hooks", absl::StrCat("\"", hook.hook_name, "\" is no name of a hook"));
  }
  if (hook.path.empty()) return Invalid(hook.hook_name + " hook", "needs a path");
  return CheckEnv(hook.env);
}

absl::Status CheckNetDevices(const std::vector<CdiNetDevice>& devices) {
  std::set<std::string_view> host_names;
  std::set<std::string_view> names;
  for (const CdiNetDevice& device : devices) {
    if (device.host_interface_name.empty() || device.name.empty()) {
      return Invalid("netDevices", "a device needs hostInterfaceName and name");
    }
    if (!host_names.insert(device.host_interface_name).second ||
        !names.insert(device.name).second) {
      return Invalid("netDevices", absl::StrCat(device.host_interface_name, " as ", device.name,
                                                ": a name occurs twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckEdits(const CdiEdits& edits) {
  absl::Status status = CheckEnv(edits.env);
  if (!status.ok()) return status;
  for (const CdiDeviceNode& node : edits.device_nodes) {
    status = CheckDeviceNode(node);
    if (!status.ok()) return status;
  }
  for (const CdiHook& hook : edits.hooks) {
    status = CheckHook(hook);
    if (!status.ok()) return status;
  }
  for (const CdiMount& mount : edits.mounts) {
    if (mount.host_path.empty() || mount.container_path.empty()) {
      return Invalid("mounts", "a mount needs hostPath and containerPath");
    }
  }
  if (edits.intel_rdt.has_value()) {
    const std::string& id = edits.intel_rdt->clos_id;
    // "/" is the root class.
    if (id != "/" && (id == "." || id == ".." || id.size() >= 4096 ||
                      id.find_first_of("/\n") != std::string::npos)) {
      return Invalid("intelRdt", "closID is no name of a directory");
    }
  }
  return CheckNetDevices(edits.net_devices);
}

size_t RequiredVersion(const CdiEdits& edits) {
  size_t version = kVersion030;
  const auto needs = [&version](size_t other) { version = std::max(version, other); };
  for (const CdiMount& mount : edits.mounts) {
    if (!mount.type.empty()) needs(kVersion040);
  }
  for (const CdiDeviceNode& node : edits.device_nodes) {
    if (!node.host_path.empty()) needs(kVersion050);
  }
  if (edits.intel_rdt.has_value() || !edits.additional_gids.empty()) needs(kVersion070);
  if (!edits.net_devices.empty()) needs(kVersion110);
  if (edits.intel_rdt.has_value() &&
      (edits.intel_rdt->has_schemata || edits.intel_rdt->enable_monitoring)) {
    needs(kVersion110);
  }
  return version;
}

size_t RequiredVersion(const CdiSpec& spec) {
  size_t version = RequiredVersion(spec.edits);
  const auto needs = [&version](size_t other) { version = std::max(version, other); };
  if (!spec.annotations.empty() || absl::StrContains(spec.device_class, '.')) needs(kVersion060);
  for (const CdiDevice& device : spec.devices) {
    needs(RequiredVersion(device.edits));
    if (!device.annotations.empty()) needs(kVersion060);
    if (!device.name.empty() && absl::ascii_isdigit(static_cast<unsigned char>(device.name[0]))) {
      needs(kVersion050);
    }
  }
  return version;
}

absl::Status CheckVersion(CdiSpec& spec) {
  if (spec.version.starts_with('v')) spec.version.erase(0, 1);
  const auto version = std::find(kVersions.begin(), kVersions.end(), spec.version);
  if (version == kVersions.end()) {
    return Invalid("cdiVersion", absl::StrCat("invalid version \"", spec.version, "\""));
  }
  const size_t required = RequiredVersion(spec);
  if (static_cast<size_t>(version - kVersions.begin()) < required) {
    return Invalid("cdiVersion", absl::StrCat(spec.version, " is too low for what the file uses: ",
                                              std::string(kVersions[required]), " is required"));
  }
  return absl::OkStatus();
}

absl::Status CheckDevices(const CdiSpec& spec) {
  if (spec.devices.empty()) return Invalid("devices", "must not be empty");
  std::set<std::string_view> names;
  for (const CdiDevice& device : spec.devices) {
    absl::Status status = CheckCdiDeviceName(device.name);
    if (!status.ok()) return status;
    if (!names.insert(device.name).second) {
      return Invalid("devices", absl::StrCat("\"", device.name, "\" occurs twice"));
    }
    if (device.edits.empty()) {
      return Invalid(absl::StrCat("device \"", device.name, "\""), "has no edits");
    }
    status = CheckEdits(device.edits);
    if (!status.ok())
      return Invalid(absl::StrCat("device \"", device.name, "\""), std::string(status.message()));
  }
  return absl::OkStatus();
}

absl::Status CheckSpec(const std::string& kind, CdiSpec& spec) {
  const size_t slash = kind.find('/');
  if (slash == std::string::npos) {
    return Invalid("kind", absl::StrCat("\"", kind.substr(0, 100), "\" is not vendor/class"));
  }
  spec.vendor = kind.substr(0, slash);
  spec.device_class = kind.substr(slash + 1);
  for (absl::Status status : {CheckCdiVendor(spec.vendor), CheckCdiClass(spec.device_class),
                              CheckVersion(spec), CheckEdits(spec.edits), CheckDevices(spec)}) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// ---- Writing

template <typename T>
void Put(const char* name, const T& value, Json& object) {
  if constexpr (std::is_arithmetic_v<T>) {
    if (value != T{}) object[name] = value;
  } else {
    if (!value.empty()) object[name] = value;
  }
}

template <typename T>
void Put(const char* name, const std::optional<T>& value, Json& object) {
  if (value.has_value()) object[name] = *value;
}

}  // namespace

absl::StatusOr<CdiSpec> ParseCdiSpec(std::string_view text) {
  const absl::StatusOr<YamlNode> tree = ParseYaml(text);
  if (!tree.ok()) return tree.status();
  if (tree->kind != YamlNode::Kind::kMap) return At(*tree, "the document must be a map");
  CdiSpec spec;
  std::string kind;
  absl::Status status =
      DecodeFields(*tree, {Into("cdiVersion", spec.version), Into("kind", kind),
                           Into("annotations", spec.annotations), Into("devices", spec.devices),
                           Into("containerEdits", spec.edits)});
  if (!status.ok()) return status;
  status = CheckSpec(kind, spec);
  if (!status.ok()) return status;
  return spec;
}

std::string_view RequiredCdiVersion(const CdiSpec& spec) {
  return kVersions[RequiredVersion(spec)];
}

std::string CdiEditsJson(const CdiEdits& edits) {
  Json object = Json::object();
  Put("env", edits.env, object);
  for (const CdiDeviceNode& node : edits.device_nodes) {
    Json entry = {{"path", node.path}};
    Put("hostPath", node.host_path, entry);
    Put("type", node.type, entry);
    Put("major", node.major, entry);
    Put("minor", node.minor, entry);
    Put("fileMode", node.file_mode, entry);
    Put("permissions", node.permissions, entry);
    Put("uid", node.uid, entry);
    Put("gid", node.gid, entry);
    object["deviceNodes"].push_back(std::move(entry));
  }
  for (const CdiNetDevice& device : edits.net_devices) {
    object["netDevices"].push_back(
        {{"hostInterfaceName", device.host_interface_name}, {"name", device.name}});
  }
  for (const CdiHook& hook : edits.hooks) {
    Json entry = {{"hookName", hook.hook_name}, {"path", hook.path}};
    Put("args", hook.args, entry);
    Put("env", hook.env, entry);
    Put("timeout", hook.timeout, entry);
    object["hooks"].push_back(std::move(entry));
  }
  for (const CdiMount& mount : edits.mounts) {
    Json entry = {{"hostPath", mount.host_path}, {"containerPath", mount.container_path}};
    Put("type", mount.type, entry);
    Put("options", mount.options, entry);
    object["mounts"].push_back(std::move(entry));
  }
  if (edits.intel_rdt.has_value()) {
    Json entry = Json::object();
    Put("closID", edits.intel_rdt->clos_id, entry);
    Put("l3CacheSchema", edits.intel_rdt->l3_cache_schema, entry);
    Put("memBwSchema", edits.intel_rdt->mem_bw_schema, entry);
    Put("schemata", edits.intel_rdt->schemata, entry);
    Put("enableMonitoring", edits.intel_rdt->enable_monitoring, entry);
    object["intelRdt"] = std::move(entry);
  }
  Put("additionalGids", edits.additional_gids, object);
  return CanonicalJson(object);
}

}  // namespace ocid
