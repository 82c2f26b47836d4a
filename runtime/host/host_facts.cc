#include "runtime/host/host_facts.h"

#include <errno.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/status/status.h"

namespace ocid {
namespace {

// Empty if it cannot be read: not mounted, or not built into this kernel.
std::string ReadIfPresent(const char* path) {
  const std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

bool Exists(const char* path) { return access(path, F_OK) == 0; }

unsigned CountCpus() {
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0) return 1;
  return static_cast<unsigned>(CPU_COUNT(&cpus));
}

}  // namespace

bool HostDescription::HasSecurityModule(std::string_view name) const {
  return std::find(security_modules.begin(), security_modules.end(), name) !=
         security_modules.end();
}

bool HostDescription::HasFilesystem(std::string_view name) const {
  return std::find(filesystems.begin(), filesystems.end(), name) != filesystems.end();
}

absl::StatusOr<HostDescription> ReadHostDescription() {
  HostDescription host;
  utsname names = {};
  if (uname(&names) != 0) return absl::ErrnoToStatus(errno, "uname");
  host.kernel_release = names.release;
  host.machine = names.machine;
  host.hostname = names.nodename;

  const std::vector<std::string> boot_id =
      SplitWords(ReadIfPresent("/proc/sys/kernel/random/boot_id"), "\n");
  if (boot_id.size() != 1) {
    return absl::FailedPreconditionError("/proc/sys/kernel/random/boot_id: cannot be read");
  }
  host.boot_id = boot_id.front();
  absl::StatusOr<CgroupLayout> cgroups = ReadCgroupLayout();
  if (!cgroups.ok()) return cgroups.status();
  host.cgroups = *std::move(cgroups);

  host.security_modules = SplitWords(ReadIfPresent("/sys/kernel/security/lsm"), ",\n");
  // securityfs is often not mounted in a container or a small virtual machine.
  if (host.security_modules.empty()) {
    const bool apparmor =
        ReadIfPresent("/sys/module/apparmor/parameters/enabled").substr(0, 1) == "Y";
    if (apparmor) host.security_modules.push_back("apparmor");
    if (Exists("/sys/fs/selinux/enforce")) host.security_modules.push_back("selinux");
  }
  host.seccomp_actions = SplitWords(ReadIfPresent("/proc/sys/kernel/seccomp/actions_avail"), " \n");
  host.filesystems = ParseFilesystems(ReadIfPresent("/proc/filesystems"));
  host.capability_bounds = ParseStatusField(ReadIfPresent("/proc/self/status"), "CapBnd", 16);
  host.booted_with_systemd = Exists("/run/systemd/system/");
  host.user_namespaces = Exists("/proc/self/ns/user");
  host.time_namespaces = Exists("/proc/self/ns/time");
  host.cpus = CountCpus();
  host.memory_bytes = ParseStatusField(ReadIfPresent("/proc/meminfo"), "MemTotal", 10) * 1024;
  return host;
}

std::vector<std::string> ParseFilesystems(std::string_view text) {
  std::vector<std::string> names;
  for (const std::string& word : SplitWords(text, "\t\n")) {
    if (word != "nodev") names.push_back(word);
  }
  return names;
}

uint64_t ParseStatusField(std::string_view text, std::string_view key, int base) {
  for (size_t line = 0; line < text.size();) {
    const size_t end = std::min(text.find('\n', line), text.size());
    std::string_view rest = text.substr(line, end - line);
    line = end + 1;
    if (rest.substr(0, key.size()) != key || rest.substr(key.size(), 1) != ":") continue;
    rest.remove_prefix(key.size() + 1);
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    uint64_t value = 0;
    std::from_chars(rest.data(), rest.data() + rest.size(), value, base);
    return value;
  }
  return 0;
}

std::vector<std::string> SplitWords(std::string_view text, std::string_view separators) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(separators), text.size());
    if (end > 0) words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

}  // namespace ocid
