// What this machine can do, for the daemon's decisions and for people (ocictl info).
//
// Parse functions are pure; ReadHostDescription reads /proc, /sys and /run once at start, and what
// is missing there is reported as absent, not as an error. A value: thread-compatible.
//
// Sources: proc(5), capabilities(7), seccomp(2), sd_booted(3), LSM admin guide (lsm list).
#ifndef OCID_RUNTIME_HOST_HOST_FACTS_H_
#define OCID_RUNTIME_HOST_HOST_FACTS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/cgroup/cgroup_layout.h"

namespace ocid {

struct HostDescription {
  std::string kernel_release;  // "6.1.0-18-amd64"
  std::string machine;         // "x86_64"
  std::string hostname;
  std::string boot_id;  // changes with each boot; 36 characters
  CgroupLayout cgroups;
  std::vector<std::string> security_modules;  // "apparmor", "selinux", ...; those that are active
  std::vector<std::string> seccomp_actions;   // "kill_process", ...; empty: no seccomp
  std::vector<std::string> filesystems;       // that the kernel knows now
  uint64_t capability_bounds = 0;             // CapBnd of this process
  bool booted_with_systemd = false;
  bool user_namespaces = false;
  bool time_namespaces = false;
  unsigned cpus = 0;  // that this process may run on
  uint64_t memory_bytes = 0;

  bool HasSecurityModule(std::string_view name) const;
  bool HasFilesystem(std::string_view name) const;
};

absl::StatusOr<HostDescription> ReadHostDescription();

// The names in /proc/filesystems.
std::vector<std::string> ParseFilesystems(std::string_view text);

// The number after "`key`:" in a file like /proc/self/status; 0 if there is none. `base` 10 or 16.
uint64_t ParseStatusField(std::string_view text, std::string_view key, int base);

// Words between any of `separators`, empty ones left out.
std::vector<std::string> SplitWords(std::string_view text, std::string_view separators);

}  // namespace ocid

#endif  // OCID_RUNTIME_HOST_HOST_FACTS_H_
