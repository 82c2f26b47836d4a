#include "daemon/compiler/exec_process.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using nlohmann::json;

void SetEnvironment(const v1::ExecConfig& config, json& process) {
  json& env = process["env"];
  if (!env.is_array()) env = json::array();
  for (const auto& [name, value] : config.env()) {
    const std::string prefix = absl::StrCat(name, "=");
    const auto existing = std::find_if(env.begin(), env.end(), [&prefix](const json& entry) {
      return entry.is_string() && entry.get_ref<const std::string&>().starts_with(prefix);
    });
    if (existing != env.end()) {
      *existing = absl::StrCat(prefix, value);
    } else {
      env.push_back(absl::StrCat(prefix, value));
    }
  }
}

json UserOf(const v1::User& user) {
  json result = {{"uid", user.uid()}, {"gid", user.gid()}};
  if (user.has_umask()) result["umask"] = user.umask();
  for (const uint32_t gid : user.additional_gids()) result["additionalGids"].push_back(gid);
  return result;
}

// A capability is of use when it is effective and permitted, and lasts over execve of a program
// without file capabilities only when it is in the bounding set too.
void AddCapabilities(const v1::ExecConfig& config, json& process) {
  for (const char* set : {"bounding", "effective", "permitted"}) {
    json& names = process["capabilities"][set];
    if (!names.is_array()) names = json::array();
    for (const std::string& name : config.added_capabilities()) {
      if (std::find(names.begin(), names.end(), json(name)) == names.end()) names.push_back(name);
    }
  }
}

}  // namespace

json ExecProcess(const OciSpec& spec, const v1::ExecConfig& config) {
  const auto own = spec.json().find("process");
  json process = own != spec.json().end() && own->is_object() ? *own : json::object();
  process["args"] = json::array();
  for (const std::string& arg : config.args()) process["args"].push_back(arg);
  SetEnvironment(config, process);
  if (config.has_cwd()) process["cwd"] = config.cwd();
  if (config.has_user()) process["user"] = UserOf(config.user());
  process["terminal"] = config.terminal();
  process.erase("consoleSize");
  if (config.has_console_size()) {
    process["consoleSize"] = {{"height", config.console_size().rows()},
                              {"width", config.console_size().columns()}};
  }
  if (config.added_capabilities_size() > 0) AddCapabilities(config, process);
  if (config.has_no_new_privileges()) process["noNewPrivileges"] = config.no_new_privileges();
  NormalizeNumbers(process);
  return process;
}

}  // namespace ocid
