#include "runtime/cgroup/default_devices.h"

#include <nlohmann/json.hpp>

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

}  // namespace ocid
