// The last step: what has one meaning gets one form, and the whole must be valid.
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/spec/transformers/transformers.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/oci_validate.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

// Of several entries of one name, getenv(3) finds the first and a shell takes the last. One is
// kept, the last, in the place of the first.
void KeepOneOfEachVariable(Json& document) {
  Json* env = ResolvePointer(document, "/process/env");
  if (env == nullptr || !env->is_array()) return;
  const auto name_of = [](const Json& entry) {
    const std::string_view text = entry.get_ref<const std::string&>();
    return text.substr(0, text.find('='));
  };
  std::map<std::string, size_t, std::less<>> places;
  Json::array_t kept;
  bool twice = false;
  for (const Json& entry : *env) {
    if (!entry.is_string()) return;
    const auto [it, first] = places.try_emplace(std::string(name_of(entry)), kept.size());
    if (first) {
      kept.push_back(entry);
    } else {
      kept[it->second] = entry;
      twice = true;
    }
  }
  if (twice) *env = std::move(kept);
}

absl::Status Transform(const SpecRequest& /*request*/, SpecEditor& editor) {
  absl::Status status =
      editor.Edit({.kind = ActorKind::kFinalize, .name = "finalize"}, [](SpecEdit& edit) {
        KeepOneOfEachVariable(edit.spec.json());
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  std::vector<Violation> violations = Validate(editor.spec());
  // Whoever sees the error sees the request, not what devices and plugins made of it.
  for (Violation& violation : violations) {
    const SpecActor* const writer = editor.LastWriter(violation.pointer);
    const bool late =
        writer != nullptr && (writer->kind == ActorKind::kCdi || writer->kind == ActorKind::kNri);
    if (late) absl::StrAppend(&violation.message, " (set by ", writer->name, ")");
  }
  return ViolationsToStatus(violations);
}

}  // namespace

SpecTransformer MakeFinalizeTransformer() {
  return {.name = "finalize", .phase = SpecPhase::kFinal, .transform = Transform};
}

}  // namespace ocid
