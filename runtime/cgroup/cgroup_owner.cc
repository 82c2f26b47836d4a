#include "runtime/cgroup/cgroup_owner.h"

#include <algorithm>
#include <cstdint>
#include <string>

namespace ocid {
namespace {

using nlohmann::json;

// The member at a path of names, or null.
const json& Find(const json& from, std::initializer_list<const char*> names) {
  static const json* const kNull = new json();
  const json* at = &from;
  for (const char* const name : names) {
    if (!at->is_object()) return *kNull;
    const auto found = at->find(name);
    if (found == at->end()) return *kNull;
    at = &*found;
  }
  return *at;
}

bool HasText(const json& object, const char* name, const std::string& text) {
  const json& value = Find(object, {name});
  return value.is_string() && value.get_ref<const std::string&>() == text;
}

bool MakesNamespace(const json& spec, const std::string& type) {
  const json& namespaces = Find(spec, {"linux", "namespaces"});
  return std::any_of(namespaces.begin(), namespaces.end(), [&](const json& entry) {
    return HasText(entry, "type", type) && Find(entry, {"path"}).is_null();
  });
}

bool HasWritableCgroupMount(const json& spec) {
  const json& mounts = Find(spec, {"mounts"});
  return std::any_of(mounts.begin(), mounts.end(), [](const json& mount) {
    if (!HasText(mount, "type", "cgroup") && !HasText(mount, "type", "cgroup2")) return false;
    const json& options = Find(mount, {"options"});
    return std::find(options.begin(), options.end(), json("ro")) == options.end();
  });
}

}  // namespace

std::optional<uid_t> CgroupOwner(const json& spec) {
  if (!MakesNamespace(spec, "cgroup") || !HasWritableCgroupMount(spec)) return std::nullopt;
  const json& user = Find(spec, {"process", "user", "uid"});
  const uint64_t inside = user.is_number_integer() ? user.get<uint64_t>() : 0;
  if (!MakesNamespace(spec, "user")) {
    return inside == 0 ? std::nullopt : std::optional(static_cast<uid_t>(inside));
  }
  for (const json& mapping : Find(spec, {"linux", "uidMappings"})) {
    const json& first = Find(mapping, {"containerID"});
    const json& host = Find(mapping, {"hostID"});
    const json& size = Find(mapping, {"size"});
    if (!first.is_number() || !host.is_number() || !size.is_number()) continue;
    if (inside < first.get<uint64_t>() || inside - first.get<uint64_t>() >= size.get<uint64_t>()) {
      continue;
    }
    const uint64_t outside = host.get<uint64_t>() + (inside - first.get<uint64_t>());
    return outside == 0 ? std::nullopt : std::optional(static_cast<uid_t>(outside));
  }
  return std::nullopt;
}

}  // namespace ocid
