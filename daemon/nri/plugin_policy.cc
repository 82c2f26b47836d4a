#include "daemon/nri/plugin_policy.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace ocid {
namespace {

constexpr absl::Duration kMaxTimeout = absl::Minutes(5);

absl::StatusOr<std::set<nri::Field>> ParseFields(absl::string_view text) {
  std::set<nri::Field> fields;
  for (const absl::string_view name : absl::StrSplit(text, '+', absl::SkipEmpty())) {
    bool known = false;
    for (int value = nri::Field_MIN + 1; value <= nri::Field_MAX && !known; ++value) {
      const auto field = static_cast<nri::Field>(value);
      known = absl::EqualsIgnoreCase(nri::Field_Name(field), name);
      if (known) fields.insert(field);
    }
    if (!known) return absl::InvalidArgumentError(absl::StrCat("no field ", name));
  }
  return fields;
}

absl::Status ApplyWord(absl::string_view word, PluginPolicy& policy) {
  if (word == "required") {
    policy.required = true;
  } else if (word == "fail-closed") {
    policy.fail_closed = true;
  } else if (word == "fail-open") {
    policy.fail_closed = false;
  } else if (absl::ConsumePrefix(&word, "timeout=")) {
    if (!absl::ParseDuration(word, &policy.timeout) || policy.timeout <= absl::ZeroDuration() ||
        policy.timeout > kMaxTimeout) {
      return absl::InvalidArgumentError(
          absl::StrCat("timeout ", word, ": a duration up to 5m is wanted, such as 500ms"));
    }
  } else if (absl::ConsumePrefix(&word, "fields=")) {
    absl::StatusOr<std::set<nri::Field>> fields = ParseFields(word);
    if (!fields.ok()) return fields.status();
    policy.fields = *std::move(fields);
  } else {
    return absl::InvalidArgumentError(absl::StrCat(
        word, ": one of required, fail-open, fail-closed, timeout=, fields= is wanted"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PluginPolicies> PluginPolicies::Parse(const std::vector<std::string>& entries) {
  PluginPolicies policies;
  for (const std::string& entry : entries) {
    const std::vector<absl::string_view> words = absl::StrSplit(entry, ',');
    const std::string name(words.front());
    if (name.empty()) return absl::InvalidArgumentError(absl::StrCat(entry, ": no plugin's name"));
    const auto [added, fresh] = policies.by_name_.emplace(name, PluginPolicy());
    if (!fresh) return absl::InvalidArgumentError(absl::StrCat(entry, ": ", name, " stands here twice"));
    for (size_t i = 1; i < words.size(); ++i) {
      const absl::Status applied = ApplyWord(words[i], added->second);
      if (!applied.ok()) {
        return absl::InvalidArgumentError(absl::StrCat(entry, ": ", applied.message()));
      }
    }
    if (name == "*" && added->second.required) {
      return absl::InvalidArgumentError(absl::StrCat(entry, ": only a named plugin can be required"));
    }
  }
  return policies;
}

PluginPolicy PluginPolicies::For(std::string_view index, std::string_view name) const {
  std::string qualified(index);
  qualified.append("-").append(name);
  for (const std::string_view key : {std::string_view(qualified), name, std::string_view("*")}) {
    const auto found = by_name_.find(key);
    if (found != by_name_.end()) return found->second;
  }
  return {};
}

std::vector<std::string> PluginPolicies::Required() const {
  std::vector<std::string> names;
  for (const auto& [name, policy] : by_name_) {
    if (policy.required) names.push_back(name);
  }
  return names;
}

}  // namespace ocid
