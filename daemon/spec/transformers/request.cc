// What the caller of CreateContainer said, in one step.
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/spec/transformers/transformers.h"
#include "runtime/base/error_details.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/json_text.h"
#include "runtime/oci/spec_edit.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

absl::Status Invalid(std::string_view field, const std::string& why) {
  absl::Status status = MakeError(absl::StatusCode::kInvalidArgument, "INVALID_REQUEST",
                                  absl::StrCat(std::string(field), ": ", why));
  AddFieldViolation(status, field, why);
  return status;
}

// An object that overrides are written to. A bundle without a process gets the least that one
// needs.
absl::StatusOr<Json*> Process(Json& document) {
  absl::StatusOr<Json*> process = EnsureObject({"process"}, document);
  if (process.ok()) (**process).emplace("cwd", "/");
  return process;
}

absl::Status ApplyEnvironment(const SpecOverrides& overrides, Json& document) {
  for (const std::string& name : overrides.unset_env) RemoveEnv(name, document);
  for (const std::string& entry : overrides.env) {
    const size_t equals = entry.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return Invalid("env", absl::StrCat("\"", entry.substr(0, equals), "\" is not NAME=value"));
    }
    absl::Status status = SetEnv(std::string_view(entry).substr(0, equals),
                                 std::string_view(entry).substr(equals + 1), document);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ApplyUser(const SpecUser& user, Json& document) {
  const absl::StatusOr<Json*> object = EnsureObject({"process", "user"}, document);
  if (!object.ok()) return object.status();
  if (user.uid.has_value()) (**object)["uid"] = *user.uid;
  if (user.gid.has_value()) (**object)["gid"] = *user.gid;
  for (const uint32_t gid : user.additional_gids) {
    absl::Status status = AddAdditionalGid(gid, document);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

bool TouchesProcess(const SpecOverrides& overrides) {
  return overrides.args.has_value() || !overrides.env.empty() || overrides.cwd.has_value() ||
         overrides.user.has_value() || overrides.terminal.has_value() ||
         overrides.console_size.has_value() || overrides.no_new_privileges.has_value() ||
         !overrides.rlimits.empty();
}

absl::Status ApplyProcess(const SpecOverrides& overrides, Json& document) {
  absl::Status status = ApplyEnvironment(overrides, document);
  if (!status.ok() || !TouchesProcess(overrides)) return status;
  const absl::StatusOr<Json*> ensured = Process(document);
  if (!ensured.ok()) return ensured.status();
  Json& process = **ensured;
  if (overrides.args.has_value()) process["args"] = *overrides.args;
  if (overrides.cwd.has_value()) process["cwd"] = *overrides.cwd;
  if (overrides.terminal.has_value()) process["terminal"] = *overrides.terminal;
  if (overrides.no_new_privileges.has_value()) {
    process["noNewPrivileges"] = *overrides.no_new_privileges;
  }
  if (overrides.console_size.has_value()) {
    process["consoleSize"] = {{"height", overrides.console_size->height},
                              {"width", overrides.console_size->width}};
  }
  if (overrides.user.has_value()) {
    status = ApplyUser(*overrides.user, document);
    if (!status.ok()) return status;
  }
  for (const SpecRlimit& rlimit : overrides.rlimits) {
    status = PutByMember({"process", "rlimits"}, "type",
                         {{"type", rlimit.type}, {"soft", rlimit.soft}, {"hard", rlimit.hard}},
                         document);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ApplyMounts(const SpecOverrides& overrides, Json& document) {
  for (const SpecMount& mount : overrides.mounts) {
    Json object = {{"destination", mount.destination}};
    if (!mount.type.empty()) object["type"] = mount.type;
    if (!mount.source.empty()) object["source"] = mount.source;
    if (!mount.options.empty()) object["options"] = mount.options;
    absl::Status status = PutMount(std::move(object), document);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ApplyResources(const SpecOverrides& overrides, Json& document) {
  if (overrides.resources_json.empty()) return absl::OkStatus();
  const absl::StatusOr<Json> resources = ParseJson(overrides.resources_json);
  if (!resources.ok()) return Invalid("resources", std::string(resources.status().message()));
  if (!resources->is_object()) return Invalid("resources", "must be an object");
  const absl::StatusOr<Json*> target = EnsureObject({"linux", "resources"}, document);
  if (!target.ok()) return target.status();
  (*target)->merge_patch(*resources);
  return absl::OkStatus();
}

absl::Status Apply(const SpecOverrides& overrides, Json& document) {
  absl::Status status = ApplyProcess(overrides, document);
  if (!status.ok()) return status;
  if (overrides.hostname.has_value()) document["hostname"] = *overrides.hostname;
  if (overrides.readonly_rootfs.has_value()) {
    const absl::StatusOr<Json*> root = EnsureObject({"root"}, document);
    if (!root.ok()) return root.status();
    (**root)["readonly"] = *overrides.readonly_rootfs;
  }
  for (const auto& [name, value] : overrides.annotations) {
    status = SetAnnotation(name, value, document);
    if (!status.ok()) return status;
  }
  status = ApplyMounts(overrides, document);
  if (!status.ok()) return status;
  return ApplyResources(overrides, document);
}

}  // namespace

SpecTransformer MakeRequestTransformer() {
  return {.name = "request",
          .phase = SpecPhase::kRequest,
          .transform = [](const SpecRequest& request, SpecEditor& editor) {
            return editor.Edit(
                {.kind = ActorKind::kRequest, .name = "request"},
                [&request](SpecEdit& edit) { return Apply(request.overrides, edit.spec.json()); });
          }};
}

}  // namespace ocid
