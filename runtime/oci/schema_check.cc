#include "runtime/oci/schema_check.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "absl/strings/str_cat.h"
#include "runtime/oci/config_schema.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

const valijson::Schema& ConfigSchema() {
  static const valijson::Schema* const kSchema = [] {
    auto* schema = new valijson::Schema();
    const Json document = Json::parse(kConfigSchemaJson);
    const valijson::adapters::NlohmannJsonAdapter adapter(document);
    valijson::SchemaParser(valijson::SchemaParser::kDraft7).populateSchema(adapter, *schema);
    return schema;
  }();
  return *kSchema;
}

// valijson names a place as {"<root>", "[process]", "[0]"}.
std::string PointerOf(const std::vector<std::string>& context) {
  std::string pointer;
  for (size_t i = 1; i < context.size(); ++i) {
    std::string_view token = context[i];
    if (token.size() >= 2 && token.front() == '[') token = token.substr(1, token.size() - 2);
    AppendPointerToken(token, pointer);
  }
  return pointer;
}

// valijson reports a value and then each container of it once more.
bool IsEcho(std::string_view description) {
  return description.starts_with("Failed to validate item") ||
         description.starts_with("Failed to validate against additional properties") ||
         description.starts_with("Failed to validate against schema associated with property") ||
         description.starts_with("Object contains a property");
}

// Says what valijson leaves out: which value it was.
std::string Describe(const Json& document, const std::string& pointer,
                     const std::string& description) {
  const Json* value = ResolvePointer(document, pointer);
  if (value == nullptr) return description;
  if (description.starts_with("Value type not permitted")) {
    return absl::StrCat("has the wrong type: ", value->type_name());
  }
  constexpr std::string_view kMissing = "Missing required property '";
  if (description.starts_with(kMissing)) {
    return absl::StrCat(
        "member \"",
        description.substr(kMissing.size(), description.find_last_of('\'') - kMissing.size()),
        "\" is required");
  }
  if (value->is_structured()) return description;
  std::string text = CanonicalJson(*value);
  if (text.size() > 200) text = absl::StrCat(text.substr(0, 200), "...");
  if (description.starts_with("Failed to match against any enum")) {
    return absl::StrCat(text, " is not one of the values that are allowed here");
  }
  return absl::StrCat(text, ": ", description);
}

// A mount of nothing but what every mount has, in the types that the schema asks for.
bool IsPlainMount(const Json& mount) {
  const Json* destination = FindMember(mount, "destination");
  if (destination == nullptr || *destination == "") return false;
  for (const auto& [name, value] : mount.get_ref<const Json::object_t&>()) {
    if (name == "options") {
      if (!value.is_array() || !std::all_of(value.begin(), value.end(), [](const Json& option) {
            return option.is_string();
          })) {
        return false;
      }
    } else if ((name != "destination" && name != "source" && name != "type") ||
               !value.is_string()) {
      return false;
    }
  }
  return true;
}

bool IsValid(const Json& document) {
  const valijson::adapters::NlohmannJsonAdapter adapter(document);
  return valijson::Validator().validate(ConfigSchema(), adapter, nullptr);
}

// Mounts are what there are hundreds of. Plain ones need no schema; the rest of the document does.
bool IsValidWithPlainMounts(const Json& document) {
  const Json* mounts = FindMember(document, "mounts");
  if (mounts == nullptr || !mounts->is_array() ||
      !std::all_of(mounts->begin(), mounts->end(), IsPlainMount)) {
    return IsValid(document);
  }
  Json rest = Json::object();
  for (const auto& [name, value] : document.get_ref<const Json::object_t&>()) {
    if (name != "mounts") rest[name] = value;
  }
  return IsValid(rest);
}

}  // namespace

std::vector<Violation> SchemaViolations(const Json& document) {
  // Most documents are valid, and collecting results is what takes the time.
  if (IsValidWithPlainMounts(document)) return {};
  const valijson::adapters::NlohmannJsonAdapter adapter(document);
  valijson::Validator validator;
  valijson::ValidationResults results;
  validator.validate(ConfigSchema(), adapter, &results);
  std::vector<Violation> violations;
  for (const valijson::ValidationResults::Error& error : results) {
    if (IsEcho(error.description)) continue;
    std::string pointer = PointerOf(error.context);
    std::string message = Describe(document, pointer, error.description);
    violations.push_back({std::move(pointer), std::move(message)});
  }
  if (violations.empty()) violations.push_back({"", "does not match the schema"});
  return violations;
}

}  // namespace ocid
