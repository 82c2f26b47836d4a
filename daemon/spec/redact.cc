#include "daemon/spec/redact.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

// /process/env/N and /hooks/WHEN/N/env/M
bool IsEntry(const std::vector<std::string>& tokens) {
  if (tokens.size() == 3) return tokens[0] == "process" && tokens[1] == "env";
  return tokens.size() == 5 && tokens[0] == "hooks" && tokens[3] == "env";
}

void Redact(std::vector<std::string>& tokens, Json& value) {
  if (IsEntry(tokens)) {
    // Whatever it is: only a name may be seen.
    const std::string entry = value.is_string() ? value.get<std::string>() : "";
    const size_t equals = entry.find('=');
    value = absl::StrCat(entry.substr(0, equals), "=",
                         absl::string_view(kRedactedValue.data(), kRedactedValue.size()));
    return;
  }
  if (tokens.size() >= 5) return;
  if (!tokens.empty() && tokens[0] != "process" && tokens[0] != "hooks") return;
  if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      tokens.push_back(absl::StrCat(i));
      Redact(tokens, value[i]);
      tokens.pop_back();
    }
  } else if (value.is_object()) {
    for (auto& [name, member] : value.get_ref<Json::object_t&>()) {
      tokens.push_back(name);
      Redact(tokens, member);
      tokens.pop_back();
    }
  }
}

absl::Status RedactOperation(Json& operation) {
  Json* value = FindMember(operation, "value");
  if (value == nullptr) return absl::OkStatus();
  const Json* path = FindMember(operation, "path");
  if (path == nullptr || !path->is_string()) return absl::DataLossError("operation without path");
  absl::StatusOr<std::vector<std::string>> tokens =
      SplitPointer(path->get_ref<const std::string&>());
  if (!tokens.ok()) return tokens.status();
  Redact(*tokens, *value);
  return absl::OkStatus();
}

// Of a plugin's answer: values of variables, which it gives by key, and those of hooks, "NAME=value".
void RedactVariables(Json& value) {
  if (value.is_array()) {
    for (Json& element : value) RedactVariables(element);
  }
  if (!value.is_object()) return;
  for (auto& [name, member] : value.get_ref<Json::object_t&>()) {
    if (name != "env" || !member.is_array()) {
      RedactVariables(member);
      continue;
    }
    for (Json& entry : member) {
      if (entry.is_object()) {
        entry["value"] = kRedactedValue;
      } else {
        std::vector<std::string> tokens = {"process", "env", "0"};
        Redact(tokens, entry);
      }
    }
  }
}

std::string RedactRequested(const std::string& text) {
  if (text.empty()) return text;
  absl::StatusOr<Json> requested = ParseJson(text, SpecJournal::kBlobLimits);
  if (!requested.ok()) return std::string();  // not to be shown as it is
  RedactVariables(*requested);
  return CanonicalJson(*requested);
}

}  // namespace

OciSpec RedactSpec(const OciSpec& spec) {
  OciSpec redacted = spec;
  std::vector<std::string> tokens;
  Redact(tokens, redacted.json());
  return redacted;
}

absl::StatusOr<SpecJournal> RedactJournal(const SpecJournal& journal) {
  SpecJournal redacted(journal.container_id(), journal.created());
  for (SpecStep step : journal.steps()) {
    absl::StatusOr<Json> patch = ParseJson(step.patch, SpecJournal::kBlobLimits);
    if (!patch.ok()) {
      return absl::DataLossError(
          absl::StrCat("spec journal: step ", step.index, ": ", patch.status().message()));
    }
    for (Json& operation : *patch) {
      absl::Status status = RedactOperation(operation);
      if (!status.ok()) return status;
    }
    step.patch = CanonicalJson(*patch);
    step.requested_json = RedactRequested(step.requested_json);
    // What was asked for in vain may be a value as well.
    for (IgnoredEdit& ignored : step.ignored) ignored.requested_json.clear();
    redacted.Append(std::move(step));
    if (redacted.steps().size() == journal.original_steps()) redacted.MarkOriginal();
  }
  return redacted;
}

}  // namespace ocid
