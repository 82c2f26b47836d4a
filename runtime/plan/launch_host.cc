#include "runtime/plan/launch_host.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/base/unique_fd.h"
#include "runtime/oci/json_pointer.h"

namespace ocid {
namespace {

constexpr char kResctrl[] = "/sys/fs/resctrl";

bool Exists(const char* path) { return access(path, F_OK) == 0; }

std::string ReadStart(const char* path) {
  const UniqueFd file(open(path, O_RDONLY | O_CLOEXEC));
  char text[256];
  const ssize_t size = file.valid() ? read(file.get(), text, sizeof(text)) : 0;
  return std::string(text, size > 0 ? static_cast<size_t>(size) : 0);
}

uint64_t EffectiveCapabilities() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0) return 0;
  return data[0].effective | uint64_t{data[1].effective} << 32;
}

uint64_t BoundingSet() {
  uint64_t bounds = 0;
  for (int capability = 0; capability < 64; ++capability) {
    const int held = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (held < 0) break;
    if (held > 0) bounds |= uint64_t{1} << capability;
  }
  return bounds;
}

// The first user namespace maps every id to itself.
bool InUserNamespace() {
  const std::vector<std::string> words =
      absl::StrSplit(ReadStart("/proc/self/uid_map"), absl::ByAnyChar(" \n"), absl::SkipEmpty());
  return words != std::vector<std::string>{"0", "0", "4294967295"};
}

std::string FindProgram(const char* name) {
  const char* const path = getenv("PATH");
  for (const absl::string_view directory :
       absl::StrSplit(path == nullptr ? "/usr/bin:/bin" : path, ':')) {
    std::string program = absl::StrCat(directory, "/", name);
    if (!directory.empty() && directory[0] == '/' && access(program.c_str(), X_OK) == 0) {
      return program;
    }
  }
  return "";
}

}  // namespace

HostFacts ReadHostFacts() {
  HostFacts facts;
  facts.capability_bounds = BoundingSet();
  facts.apparmor = ReadStart("/sys/module/apparmor/parameters/enabled").starts_with('Y');
  facts.selinux = Exists("/sys/fs/selinux/enforce");
  constexpr uint64_t kNeeded =
      uint64_t{1} << CAP_SYS_ADMIN | uint64_t{1} << CAP_SETUID | uint64_t{1} << CAP_SETGID;
  facts.privileged = (EffectiveCapabilities() & kNeeded) == kNeeded;
  facts.uid = geteuid();
  facts.gid = getegid();
  if (!facts.privileged) {
    facts.newuidmap = FindProgram("newuidmap");
    facts.newgidmap = FindProgram("newgidmap");
  }
  facts.in_user_namespace = InUserNamespace();
  if (Exists(absl::StrCat(kResctrl, "/schemata").c_str())) facts.resctrl = kResctrl;
  return facts;
}

std::vector<CgroupMount> CgroupMountsOf(const std::vector<CgroupPath>& paths) {
  constexpr std::string_view kNamed = "name=";
  std::vector<CgroupMount> mounts;
  for (const CgroupPath& path : paths) {
    std::string_view name = path.controllers;
    if (name.starts_with(kNamed)) name.remove_prefix(kNamed.size());
    if (name.empty() && paths.size() > 1) name = "unified";
    mounts.push_back({.name = std::string(name), .host_path = path.directory});
  }
  return mounts;
}

void RemoveResctrlGroups(const nlohmann::json& spec, const std::string& id) {
  const nlohmann::json* const rdt = ResolvePointer(spec, "/linux/intelRdt");
  if (rdt == nullptr || !rdt->is_object()) return;
  const nlohmann::json* const member = FindMember(*rdt, "closID");
  const std::string closid =
      member != nullptr && member->is_string() ? member->get<std::string>() : std::string();
  if (closid.empty()) {
    rmdir(absl::StrCat(kResctrl, "/", id).c_str());
    return;
  }
  const std::string group = closid == "/" ? kResctrl : absl::StrCat(kResctrl, "/", closid);
  const nlohmann::json* const monitoring = FindMember(*rdt, "enableMonitoring");
  if (monitoring != nullptr && *monitoring == true) {
    rmdir(absl::StrCat(group, "/mon_groups/", id).c_str());
  }
}

}  // namespace ocid
