#include "runtime/cgroup/default_devices.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace ocid {
namespace {

constexpr uint64_t kAny = ~uint64_t{0};

struct DefaultRule {
  const char* type;
  uint64_t major;
  uint64_t minor;
  const char* access;
};

constexpr DefaultRule kRules[] = {
    {"c", kAny, kAny, "m"}, {"b", kAny, kAny, "m"}, {"c", 1, 3, "rwm"},  // null
    {"c", 1, 5, "rwm"},                                                  // zero
    {"c", 1, 7, "rwm"},                                                  // full
    {"c", 1, 8, "rwm"},                                                  // random
    {"c", 1, 9, "rwm"},                                                  // urandom
    {"c", 5, 0, "rwm"},                                                  // tty
    {"c", 5, 2, "rwm"},                                                  // ptmx
    {"c", 136, kAny, "rwm"}                                              // pts
};

bool IsDefault(const nlohmann::json& rule) {
  const std::string type = rule.value("type", "a");
  const uint64_t major = rule.value("major", kAny);
  const uint64_t minor = rule.value("minor", kAny);
  const std::string access = rule.value("access", "rwm");
  return std::any_of(std::begin(kRules), std::end(kRules), [&](const DefaultRule& known) {
    const std::string_view granted = known.access;
    return type == known.type && (known.major == kAny || known.major == major) &&
           (known.minor == kAny || known.minor == minor) &&
           access.find_first_not_of(granted) == std::string::npos;
  });
}

}  // namespace

nlohmann::json WithDefaultDevices(const nlohmann::json& resources) {
  nlohmann::json result = resources.is_object() ? resources : nlohmann::json::object();
  nlohmann::json& rules = result["devices"];
  if (!rules.is_array()) rules = nlohmann::json::array();
  for (const DefaultRule& rule : kRules) {
    nlohmann::json entry = {{"allow", true}, {"type", rule.type}, {"access", rule.access}};
    if (rule.major != kAny) entry["major"] = rule.major;
    if (rule.minor != kAny) entry["minor"] = rule.minor;
    rules.push_back(std::move(entry));
  }
  return result;
}

bool AllowsMoreThanDefaultDevices(const nlohmann::json& resources) {
  const auto rules = resources.find("devices");
  if (!resources.is_object() || rules == resources.end() || !rules->is_array()) return false;
  return std::any_of(rules->begin(), rules->end(), [](const nlohmann::json& rule) {
    try {
      return rule.value("allow", false) && !IsDefault(rule);
    } catch (const nlohmann::json::exception&) {
      return true;  // of another shape: who parses the rules says what is wrong
    }
  });
}

}  // namespace ocid
