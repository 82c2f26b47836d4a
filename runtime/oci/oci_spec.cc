#include "runtime/oci/oci_spec.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

std::string StringAt(const Json& document, std::string_view pointer) {
  const Json* value = ResolvePointer(document, pointer);
  if (value == nullptr || !value->is_string()) return {};
  return value->get_ref<const std::string&>();
}

bool BoolAt(const Json& document, std::string_view pointer) {
  const Json* value = ResolvePointer(document, pointer);
  return value != nullptr && value->is_boolean() && value->get<bool>();
}

std::optional<uint32_t> IdOf(const Json* value) {
  if (value == nullptr || !value->is_number_unsigned()) return std::nullopt;
  const auto number = value->get<uint64_t>();
  if (number > UINT32_MAX) return std::nullopt;
  return static_cast<uint32_t>(number);
}

}  // namespace

OciSpec::OciSpec() : document_(std::make_unique<Json>(Json::object())) {}
OciSpec::OciSpec(Json document) : document_(std::make_unique<Json>(std::move(document))) {}
OciSpec::OciSpec(const OciSpec& other) : document_(std::make_unique<Json>(*other.document_)) {}
OciSpec::OciSpec(OciSpec&& other) noexcept : OciSpec() { document_.swap(other.document_); }
OciSpec& OciSpec::operator=(const OciSpec& other) {
  if (this != &other) *document_ = *other.document_;
  return *this;
}
OciSpec& OciSpec::operator=(OciSpec&& other) noexcept {
  OciSpec moved(std::move(other));
  document_.swap(moved.document_);
  return *this;
}
OciSpec::~OciSpec() = default;

absl::StatusOr<OciSpec> OciSpec::Parse(std::string_view text) {
  const JsonLimits limits;
  absl::StatusOr<Json> document = ParseJson(text, limits);
  if (!document.ok()) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     text.size() > limits.bytes ? "SPEC_TOO_LARGE" : "SPEC_MALFORMED",
                     absl::StrCat("OCI spec: ", document.status().message()));
  }
  if (!document->is_object()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "SPEC_MALFORMED",
                     "OCI spec: the document is not a JSON object");
  }
  return OciSpec(*std::move(document));
}

std::string OciSpec::Canonical() const { return CanonicalJson(*document_); }

std::string OciSpec::OciVersion() const { return StringAt(*document_, "/ociVersion"); }
std::string OciSpec::RootPath() const { return StringAt(*document_, "/root/path"); }
bool OciSpec::RootReadonly() const { return BoolAt(*document_, "/root/readonly"); }
std::string OciSpec::Hostname() const { return StringAt(*document_, "/hostname"); }
std::string OciSpec::CgroupsPath() const { return StringAt(*document_, "/linux/cgroupsPath"); }
std::string OciSpec::Cwd() const { return StringAt(*document_, "/process/cwd"); }
bool OciSpec::Terminal() const { return BoolAt(*document_, "/process/terminal"); }

bool OciSpec::HasProcess() const {
  const Json* process = FindMember(*document_, "process");
  return process != nullptr && process->is_object();
}

OciUser OciSpec::User() const {
  OciUser user;
  const Json* value = ResolvePointer(*document_, "/process/user");
  if (value == nullptr) return user;
  user.uid = IdOf(FindMember(*value, "uid")).value_or(0);
  user.gid = IdOf(FindMember(*value, "gid")).value_or(0);
  const Json* gids = FindMember(*value, "additionalGids");
  if (gids == nullptr || !gids->is_array()) return user;
  for (const Json& gid : *gids) {
    if (const std::optional<uint32_t> id = IdOf(&gid)) user.additional_gids.push_back(*id);
  }
  return user;
}

std::vector<std::string> OciSpec::Args() const {
  return StringsOf(ResolvePointer(*document_, "/process/args"));
}

std::vector<std::string> OciSpec::Env() const {
  return StringsOf(ResolvePointer(*document_, "/process/env"));
}

std::map<std::string, std::string> OciSpec::Annotations() const {
  std::map<std::string, std::string> annotations;
  const Json* value = FindMember(*document_, "annotations");
  if (value == nullptr || !value->is_object()) return annotations;
  for (const auto& [name, text] : value->get_ref<const Json::object_t&>()) {
    if (text.is_string()) annotations.emplace(name, text.get_ref<const std::string&>());
  }
  return annotations;
}

bool OciSpec::HasNamespace(std::string_view type) const {
  const Json* namespaces = ResolvePointer(*document_, "/linux/namespaces");
  if (namespaces == nullptr || !namespaces->is_array()) return false;
  for (const Json& entry : *namespaces) {
    const Json* name = FindMember(entry, "type");
    if (name != nullptr && name->is_string() && name->get_ref<const std::string&>() == type) {
      return true;
    }
  }
  return false;
}

std::optional<std::string> OciSpec::EnvValue(std::string_view name) const {
  const Json* env = ResolvePointer(*document_, "/process/env");
  if (env == nullptr || !env->is_array()) return std::nullopt;
  for (const Json& entry : *env) {
    if (!entry.is_string()) continue;
    const std::string_view text = entry.get_ref<const std::string&>();
    if (text.size() > name.size() && text.starts_with(name) && text[name.size()] == '=') {
      return std::string(text.substr(name.size() + 1));
    }
  }
  return std::nullopt;
}

bool operator==(const OciSpec& a, const OciSpec& b) { return *a.document_ == *b.document_; }

std::vector<std::string> StringsOf(const Json* array) {
  std::vector<std::string> strings;
  if (array == nullptr || !array->is_array()) return strings;
  for (const Json& element : *array) {
    if (element.is_string()) strings.push_back(element.get_ref<const std::string&>());
  }
  return strings;
}

}  // namespace ocid
