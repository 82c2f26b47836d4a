#include "runtime/oci/oci_upgrade.h"

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/oci_version.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

struct MovedMember {
  std::string_view from_parent;
  std::string_view from;
  std::string_view to_parent;  // made if its own parent is there
  std::string_view to;
};

constexpr std::array kMoved = {
    // 0.2 to 0.4: what is about the process moved there.
    MovedMember{"/linux", "rlimits", "/process", "rlimits"},
    MovedMember{"/linux", "apparmorProfile", "/process", "apparmorProfile"},
    MovedMember{"/linux", "selinuxProcessLabel", "/process", "selinuxLabel"},
    // 1.0.0-rc6
    MovedMember{"/linux/resources", "oomScoreAdj", "/process", "oomScoreAdj"},
    MovedMember{"/linux/resources", "disableOOMKiller", "/linux/resources/memory",
                "disableOOMKiller"},
    MovedMember{"/linux/resources/blockIO", "blkioWeight", "/linux/resources/blockIO", "weight"},
    MovedMember{"/linux/resources/blockIO", "blkioLeafWeight", "/linux/resources/blockIO",
                "leafWeight"},
    MovedMember{"/linux/resources/blockIO", "blkioWeightDevice", "/linux/resources/blockIO",
                "weightDevice"},
    MovedMember{"/linux/resources/blockIO", "blkioThrottleReadBpsDevice",
                "/linux/resources/blockIO", "throttleReadBpsDevice"},
    MovedMember{"/linux/resources/blockIO", "blkioThrottleWriteBpsDevice",
                "/linux/resources/blockIO", "throttleWriteBpsDevice"},
    MovedMember{"/linux/resources/blockIO", "blkioThrottleReadIOPSDevice",
                "/linux/resources/blockIO", "throttleReadIOPSDevice"},
    MovedMember{"/linux/resources/blockIO", "blkioThrottleWriteIOPSDevice",
                "/linux/resources/blockIO", "throttleWriteIOPSDevice"},
};

Json* ReachObject(std::string_view pointer, Json& document) {
  if (Json* found = ResolvePointer(document, pointer)) return found->is_object() ? found : nullptr;
  const size_t slash = pointer.rfind('/');
  Json* parent = ResolvePointer(document, pointer.substr(0, slash));
  if (parent == nullptr || !parent->is_object()) return nullptr;
  return &((*parent)[std::string(pointer.substr(slash + 1))] = Json::object());
}

void MoveMembers(Json& document, std::vector<std::string>& changes) {
  for (const MovedMember& moved : kMoved) {
    Json* old_parent = ResolvePointer(document, moved.from_parent);
    if (old_parent == nullptr || FindMember(*old_parent, moved.from) == nullptr) continue;
    Json* new_parent = ReachObject(moved.to_parent, document);
    if (new_parent == nullptr) continue;
    old_parent = ResolvePointer(document, moved.from_parent);
    Json value = std::move(*FindMember(*old_parent, moved.from));
    old_parent->erase(std::string(moved.from));
    // Both were given: the new name is the one that its author meant.
    new_parent->emplace(std::string(moved.to), std::move(value));
    changes.push_back(absl::StrCat(View(moved.from_parent), "/", View(moved.from), " is now ",
                                   View(moved.to_parent), "/", View(moved.to)));
  }
}

// Before 1.0.0-rc5 there was one list, for all sets that existed. There were no ambient
// capabilities then, and adding them would give a user other than root more than it had.
void SplitCapabilities(Json& document, std::vector<std::string>& changes) {
  Json* capabilities = ResolvePointer(document, "/process/capabilities");
  if (capabilities == nullptr || !capabilities->is_array()) return;
  Json list = std::move(*capabilities);
  *capabilities = {{"bounding", list},
                   {"effective", list},
                   {"inheritable", list},
                   {"permitted", std::move(list)},
                   {"ambient", Json::array()}};
  changes.emplace_back("/process/capabilities: one list became the five sets");
}

void UpgradeSeccomp(Json& document, std::vector<std::string>& changes) {
  Json* seccomp = ResolvePointer(document, "/linux/seccomp");
  if (seccomp == nullptr || !seccomp->is_object()) return;
  const Json* action = FindMember(*seccomp, "defaultAction");
  if (action == nullptr || *action == "") {
    ResolvePointer(document, "/linux")->erase("seccomp");
    changes.emplace_back("/linux/seccomp: removed, its default action was empty: no filter");
    return;
  }
  Json* syscalls = FindMember(*seccomp, "syscalls");
  if (syscalls == nullptr || !syscalls->is_array()) return;
  for (size_t i = 0; i < syscalls->size(); ++i) {
    Json& rule = (*syscalls)[i];
    const Json* name = FindMember(rule, "name");
    if (name == nullptr || rule.contains("names")) continue;
    rule["names"] = Json::array({*name});
    rule.erase("name");
    changes.push_back(absl::StrCat("/linux/seccomp/syscalls/", i, "/name is now names"));
  }
}

void DropPlatform(Json& document, std::vector<std::string>& changes) {
  if (document.erase("platform") > 0) {
    changes.emplace_back("/platform: removed, the specification has no such member any more");
  }
}

void StripNullsWithin(Json& value, const std::string& pointer, std::vector<std::string>& removed) {
  if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      if (value[i].is_structured()) StripNullsWithin(value[i], JoinPointer(pointer, i), removed);
    }
    return;
  }
  auto& object = value.get_ref<Json::object_t&>();
  for (auto it = object.begin(); it != object.end();) {
    if (it->second.is_null()) {
      removed.push_back(JoinPointer(pointer, it->first));
      it = object.erase(it);
      continue;
    }
    if (it->second.is_structured()) {
      StripNullsWithin(it->second, JoinPointer(pointer, it->first), removed);
    }
    ++it;
  }
}

}  // namespace

absl::StatusOr<std::vector<std::string>> UpgradeSpec(OciSpec& spec) {
  std::vector<std::string> changes;
  const std::string text = spec.OciVersion();
  // Without a version: Validate says so, with everything else.
  if (text.empty()) return changes;
  const std::optional<SemanticVersion> version = ParseSemanticVersion(text);
  if (!version.has_value()) {
    absl::Status status = MakeError(absl::StatusCode::kInvalidArgument, "SPEC_INVALID",
                                    absl::StrCat("OCI spec: /ociVersion: \"", text.substr(0, 100),
                                                 "\" is not a semantic version"));
    AddFieldViolation(status, "/ociVersion", "is not a semantic version");
    return status;
  }
  if (version->major > 1) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "SPEC_UNSUPPORTED",
                     absl::StrCat("OCI spec: /ociVersion: version ", text, " is not supported"),
                     {{"version", text}, {"pointer", "/ociVersion"}});
  }
  if (version->major == 1) return changes;

  Json& document = spec.json();
  MoveMembers(document, changes);
  SplitCapabilities(document, changes);
  UpgradeSeccomp(document, changes);
  DropPlatform(document, changes);
  document["ociVersion"] = std::string(kOciVersion);
  changes.push_back(absl::StrCat("/ociVersion: ", text, " is now ", View(kOciVersion)));
  return changes;
}

std::vector<std::string> StripNulls(OciSpec& spec) {
  std::vector<std::string> removed;
  StripNullsWithin(spec.json(), "", removed);
  return removed;
}

}  // namespace ocid
