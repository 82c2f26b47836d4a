#include "daemon/nri/default_validator.h"

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "daemon/nri/nri_names.h"
#include "yaml-cpp/yaml.h"

namespace ocid {
namespace {

constexpr size_t kMaxAnnotationBytes = 64 << 10;

using Request = nri::ValidateContainerAdjustmentRequest;

absl::Status Reject(const std::string& reason) {
  return absl::FailedPreconditionError(absl::StrCat("validation error: ", reason));
}

const nri::FieldOwners& OwnersOf(const Request& request) {
  const auto owners = request.owners().owners().find(request.container().id());
  return owners == request.owners().owners().end() ? nri::FieldOwners::default_instance()
                                                   : owners->second;
}

// "NN-name", or "" if nobody touched it.
std::string OwnerOf(const Request& request, nri::Field field) {
  const auto& simple = OwnersOf(request).simple();
  const auto owner = simple.find(field);
  return owner == simple.end() ? "" : UnmarkedName(owner->second);
}

// Owner by key, in the order of keys.
std::map<std::string, std::string> OwnersByKey(const Request& request, nri::Field field) {
  std::map<std::string, std::string> owners;
  const auto& compound = OwnersOf(request).compound();
  const auto keys = compound.find(field);
  if (keys == compound.end()) return owners;
  for (const auto& [key, owner] : keys->second.owners()) owners[key] = UnmarkedName(owner);
  return owners;
}

absl::Status CheckHooks(const DefaultValidatorOptions& options, const Request& request) {
  const std::string owner = OwnerOf(request, nri::OciHooks);
  if (!options.reject_oci_hook_adjustment || owner.empty()) return absl::OkStatus();
  return Reject(absl::StrCat(owner.find(',') == owner.npos ? "plugin \"" : "plugins \"", owner,
                             "\" attempted restricted OCI hook injection"));
}

absl::Status CheckSeccomp(const DefaultValidatorOptions& options, const Request& request) {
  const std::string owner = OwnerOf(request, nri::SeccompPolicy);
  if (owner.empty()) return absl::OkStatus();
  const nri::LinuxContainer& container = request.container().linux();
  const auto type = container.has_seccomp_profile() ? container.seccomp_profile().profile_type()
                                                    : nri::SecurityProfile::UNCONFINED;
  const char* kind = nullptr;
  if (type == nri::SecurityProfile::UNCONFINED && options.reject_unconfined_seccomp_adjustment) {
    kind = "unconfined";
  } else if (type == nri::SecurityProfile::RUNTIME_DEFAULT &&
             options.reject_runtime_default_seccomp_adjustment) {
    kind = "runtime default";
  } else if (type == nri::SecurityProfile::LOCALHOST && options.reject_custom_seccomp_adjustment) {
    kind = "custom";
  }
  if (kind == nullptr) return absl::OkStatus();
  return Reject(
      absl::StrCat("plugin ", owner, " attempted restricted ", kind, " seccomp policy adjustment"));
}

absl::Status CheckNamespaces(const DefaultValidatorOptions& options, const Request& request) {
  if (!options.reject_namespace_adjustment) return absl::OkStatus();
  const std::map<std::string, std::string> owners = OwnersByKey(request, nri::Namespace);
  if (owners.empty()) return absl::OkStatus();
  const std::string offenders =
      absl::StrJoin(owners, ", ", [](std::string* out, const auto& entry) {
        absl::StrAppend(out, "\"", entry.second, "\" (namespace \"", entry.first, "\")");
      });
  return Reject(absl::StrCat("attempted restricted namespace adjustment by plugin(s) ", offenders));
}

absl::Status CheckSysctls(const DefaultValidatorOptions& options, const Request& request) {
  if (!options.reject_sysctl_adjustment) return absl::OkStatus();
  std::set<std::string> owners;
  for (const auto& [name, owner] : OwnersByKey(request, nri::Sysctl)) owners.insert(owner);
  if (owners.empty()) return absl::OkStatus();
  return Reject(absl::StrCat("attempted restricted sysctl adjustment by plugin(s) ",
                             absl::StrJoin(owners, ", ")));
}

// The one that is nearest to the container.
std::optional<std::string> EffectiveAnnotation(const Request& request, const std::string& key) {
  const auto& annotations = request.pod().annotations();
  const std::string keys[] = {absl::StrCat(key, "/container.", request.container().name()),
                              absl::StrCat(key, "/pod"), key};
  for (const std::string& candidate : keys) {
    const auto found = annotations.find(candidate);
    if (found != annotations.end()) return found->second;
  }
  return std::nullopt;
}

// As Go's strconv.ParseBool has it.
std::optional<bool> ParseBool(const std::string& text) {
  for (const char* word : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (text == word) return true;
  }
  for (const char* word : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (text == word) return false;
  }
  return std::nullopt;
}

absl::StatusOr<std::vector<std::string>> ParseNames(const std::string& text) {
  const absl::Status bad = Reject(absl::StrCat("invalid ", kRequiredPluginsAnnotation.data(),
                                               " annotation \"", text.substr(0, 200), "\""));
  if (text.size() > kMaxAnnotationBytes) return bad;
  std::vector<std::string> names;
  try {
    const YAML::Node list = YAML::Load(text);
    if (list.IsNull()) return names;
    if (!list.IsSequence()) return bad;
    for (const YAML::Node& name : list) {
      if (!name.IsScalar()) return bad;
      names.push_back(name.Scalar());
    }
  } catch (const YAML::Exception&) {
    return bad;
  }
  return names;
}

absl::Status CheckRequired(const DefaultValidatorOptions& options, const Request& request) {
  const std::string& tolerate = options.tolerate_missing_plugins_annotation;
  if (!tolerate.empty()) {
    if (const auto value = EffectiveAnnotation(request, tolerate)) {
      const std::optional<bool> tolerated = ParseBool(*value);
      if (!tolerated.has_value()) {
        return Reject(absl::StrCat("invalid ", tolerate, " annotation \"", *value, "\""));
      }
      if (*tolerated) return absl::OkStatus();
    }
  }
  std::vector<std::string> required = options.required_plugins;
  if (const auto value = EffectiveAnnotation(request, std::string(kRequiredPluginsAnnotation))) {
    const absl::StatusOr<std::vector<std::string>> names = ParseNames(*value);
    if (!names.ok()) return names.status();
    required.insert(required.end(), names->begin(), names->end());
  }
  std::set<std::string> consulted;
  for (const nri::PluginInstance& plugin : request.plugins()) {
    consulted.insert(plugin.name());
    consulted.insert(absl::StrCat(plugin.index(), "-", plugin.name()));
  }
  std::erase_if(required, [&](const std::string& name) { return consulted.contains(name); });
  if (required.empty()) return absl::OkStatus();
  return Reject(absl::StrCat(required.size() == 1 ? "required plugin \"" : "required plugins \"",
                             absl::StrJoin(required, ","), "\" not present"));
}

}  // namespace

absl::StatusOr<DefaultValidatorOptions> ParseDefaultValidator(
    const std::vector<std::string>& entries) {
  using Options = DefaultValidatorOptions;
  const std::map<std::string, bool Options::*> kFlags = {
      {"reject_oci_hook_adjustment", &Options::reject_oci_hook_adjustment},
      {"reject_runtime_default_seccomp_adjustment",
       &Options::reject_runtime_default_seccomp_adjustment},
      {"reject_unconfined_seccomp_adjustment", &Options::reject_unconfined_seccomp_adjustment},
      {"reject_custom_seccomp_adjustment", &Options::reject_custom_seccomp_adjustment},
      {"reject_namespace_adjustment", &Options::reject_namespace_adjustment},
      {"reject_sysctl_adjustment", &Options::reject_sysctl_adjustment},
  };
  Options options;
  options.enable = !entries.empty();
  for (const std::string& entry : entries) {
    const size_t equals = entry.find('=');
    const std::string name = entry.substr(0, equals);
    const std::string value = equals == entry.npos ? "" : entry.substr(equals + 1);
    const auto flag = kFlags.find(entry);
    if (flag != kFlags.end()) {
      options.*(flag->second) = true;
    } else if (name == "required_plugins" && !value.empty()) {
      for (absl::string_view plugin : absl::StrSplit(value, '+', absl::SkipEmpty())) {
        options.required_plugins.emplace_back(plugin);
      }
    } else if (name == "tolerate_missing_plugins_annotation" && !value.empty()) {
      options.tolerate_missing_plugins_annotation = value;
    } else {
      return absl::InvalidArgumentError(absl::StrCat("unknown option \"", entry, "\""));
    }
  }
  return options;
}

absl::Status ValidateByDefault(const DefaultValidatorOptions& options, const Request& request) {
  if (!options.enable) return absl::OkStatus();
  absl::Status status = CheckHooks(options, request);
  status.Update(CheckSeccomp(options, request));
  status.Update(CheckNamespaces(options, request));
  status.Update(CheckRequired(options, request));
  status.Update(CheckSysctls(options, request));
  return status;
}

}  // namespace ocid
