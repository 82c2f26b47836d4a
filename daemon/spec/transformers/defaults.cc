// What a bundle may leave out, each in a step of its own: see transformers.h.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "daemon/spec/seccomp_default.h"
#include "daemon/spec/transformers/transformers.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/spec_edit.h"
#include "runtime/seccomp/seccomp_template.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

std::string Absolute(const std::string& bundle, const std::string& path) {
  return CleanPath(absl::StrCat(bundle, "/", path));
}

bool IsBind(const Json& mount) {
  const Json* type = FindMember(mount, "type");
  if (type != nullptr && *type == "bind") return true;
  const std::vector<std::string> options = StringsOf(FindMember(mount, "options"));
  return std::any_of(options.begin(), options.end(), [](const std::string& option) {
    return option == "bind" || option == "rbind";
  });
}

absl::Status MakeRootAbsolute(const std::string& bundle, SpecEdit& edit) {
  Json* path = ResolvePointer(edit.spec.json(), "/root/path");
  if (path == nullptr || !path->is_string()) return absl::OkStatus();
  const auto& text = path->get_ref<const std::string&>();
  if (!text.empty() && !text.starts_with('/')) *path = Absolute(bundle, text);
  return absl::OkStatus();
}

absl::Status MakeSourcesAbsolute(const std::string& bundle, SpecEdit& edit) {
  Json* mounts = FindMember(edit.spec.json(), "mounts");
  if (mounts == nullptr || !mounts->is_array()) return absl::OkStatus();
  for (Json& mount : *mounts) {
    Json* source = FindMember(mount, "source");
    if (source == nullptr || !source->is_string() || !IsBind(mount)) continue;
    const auto& text = source->get_ref<const std::string&>();
    if (!text.empty() && !text.starts_with('/')) *source = Absolute(bundle, text);
  }
  return absl::OkStatus();
}

absl::Status SetCgroupsPath(const std::string& path, SpecEdit& edit) {
  if (path.empty() || !edit.spec.CgroupsPath().empty()) return absl::OkStatus();
  const absl::StatusOr<Json*> linux_object = EnsureObject({"linux"}, edit.spec.json());
  if (!linux_object.ok()) return linux_object.status();
  (**linux_object)["cgroupsPath"] = path;
  return absl::OkStatus();
}

absl::Status SetSeccomp(const SeccompDefault& profile, SpecEdit& edit) {
  const Json* bounding = ResolvePointer(edit.spec.json(), "/process/capabilities/bounding");
  const absl::StatusOr<Json*> linux_object = EnsureObject({"linux"}, edit.spec.json());
  if (!linux_object.ok()) return linux_object.status();
  absl::StatusOr<Json> resolved =
      ResolveSeccompTemplate(profile.profile, SeccompTargetHere(StringsOf(bounding)));
  if (!resolved.ok()) return resolved.status();
  (**linux_object)["seccomp"] = *std::move(resolved);
  return absl::OkStatus();
}

absl::Status Transform(const SpecRequest& request, SpecEditor& editor) {
  const auto step = [&editor](std::string_view name, const SpecEditor::EditFunction& edit) {
    return editor.Edit({.kind = ActorKind::kDefault, .name = std::string(name)}, edit);
  };
  const std::string& bundle = request.bundle_path;
  if (!bundle.empty()) {
    absl::Status status =
        step("defaults:root-path", [&](SpecEdit& edit) { return MakeRootAbsolute(bundle, edit); });
    if (!status.ok()) return status;
    status = step("defaults:mount-sources",
                  [&](SpecEdit& edit) { return MakeSourcesAbsolute(bundle, edit); });
    if (!status.ok()) return status;
  }
  absl::Status status = step("defaults:cgroups-path", [&](SpecEdit& edit) {
    return SetCgroupsPath(request.default_cgroups_path, edit);
  });
  if (!status.ok() || request.image == nullptr || request.image_seccomp == nullptr) return status;
  const SeccompDefault& profile = *request.image_seccomp;
  return editor.Edit({.kind = ActorKind::kDefault,
                      .name = "defaults:seccomp",
                      .source_file = profile.source_file,
                      .source_sha256 = profile.source_sha256},
                     [&](SpecEdit& edit) { return SetSeccomp(profile, edit); });
}

}  // namespace

SpecTransformer MakeDefaultsTransformer() {
  return {.name = "defaults", .phase = SpecPhase::kDefaults, .transform = Transform};
}

}  // namespace ocid
