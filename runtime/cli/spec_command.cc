// ocirun spec: a configuration to begin with; or what is wrong with one.
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/cli/command.h"
#include "runtime/cli/files.h"
#include "runtime/oci/oci_upgrade.h"
#include "runtime/oci/oci_validate.h"

namespace ocid {
namespace {

using Json = nlohmann::ordered_json;

Json Mount(const char* destination, const char* type, const char* source,
           std::vector<std::string> options) {
  Json mount = {{"destination", destination}, {"type", type}, {"source", source}};
  if (!options.empty()) mount["options"] = std::move(options);
  return mount;
}

Json DefaultSpec() {
  const std::vector<std::string> capabilities = {"CAP_AUDIT_WRITE", "CAP_KILL",
                                                 "CAP_NET_BIND_SERVICE"};
  Json spec;
  spec["ociVersion"] = std::string(kOciVersion);
  spec["process"] = {
      {"terminal", true},
      {"user", {{"uid", 0}, {"gid", 0}}},
      {"args", {"sh"}},
      {"env", {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"}},
      {"cwd", "/"},
      {"capabilities",
       {{"bounding", capabilities}, {"effective", capabilities}, {"permitted", capabilities}}},
      {"rlimits", Json::array({{{"type", "RLIMIT_NOFILE"}, {"hard", 1024}, {"soft", 1024}}})},
      {"noNewPrivileges", true}};
  spec["root"] = {{"path", "rootfs"}, {"readonly", true}};
  spec["hostname"] = "ocirun";
  spec["mounts"] = Json::array(
      {Mount("/proc", "proc", "proc", {}),
       Mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
       Mount("/dev/pts", "devpts", "devpts",
             {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
       Mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
       Mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
       Mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
       Mount("/sys/fs/cgroup", "cgroup", "cgroup",
             {"nosuid", "noexec", "nodev", "relatime", "ro"})});
  Json namespaces = Json::array();
  for (const char* type : {"pid", "network", "ipc", "uts", "mount", "cgroup"}) {
    namespaces.push_back({{"type", type}});
  }
  spec["linux"] = {
      {"resources", {{"devices", Json::array({{{"allow", false}, {"access", "rwm"}}})}}},
      {"namespaces", std::move(namespaces)},
      {"maskedPaths",
       {"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
        "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
        "/proc/scsi"}},
      {"readonlyPaths",
       {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}}};
  return spec;
}

// What an ordinary user can have: one mapped id, no network of its own, no cgroups.
void MakeRootless(Json& spec) {
  Json& linux_object = spec["linux"];
  linux_object.erase("resources");
  Json namespaces = Json::array();
  for (const char* type : {"pid", "ipc", "uts", "mount", "cgroup", "user"}) {
    namespaces.push_back({{"type", type}});
  }
  linux_object["namespaces"] = std::move(namespaces);
  const auto map = [](unsigned id) {
    return Json::array({{{"containerID", 0}, {"hostID", id}, {"size", 1}}});
  };
  linux_object["uidMappings"] = map(geteuid());
  linux_object["gidMappings"] = map(getegid());
  Json mounts = Json::array();
  for (Json& mount : spec["mounts"]) {
    const std::string destination = mount["destination"];
    if (destination == "/sys/fs/cgroup") continue;
    if (destination == "/sys") {
      // Without a network namespace of its own a user may not mount sysfs.
      mount = Mount("/sys", "none", "/sys", {"rbind", "nosuid", "noexec", "nodev", "ro"});
    }
    if (destination == "/dev/pts") {
      mount["options"] = {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"};
    }
    mounts.push_back(std::move(mount));
  }
  spec["mounts"] = std::move(mounts);
}

absl::StatusOr<int> ValidateBundle(const std::string& bundle) {
  const std::string path = absl::StrCat(bundle, "/config.json");
  const absl::StatusOr<std::string> text = ReadWholeFile(path);
  if (!text.ok()) return text.status();
  absl::StatusOr<OciSpec> spec = OciSpec::Parse(*text);
  if (!spec.ok()) return Annotate(spec.status(), path);
  const absl::StatusOr<std::vector<std::string>> upgraded = UpgradeSpec(*spec);
  if (!upgraded.ok()) return Annotate(upgraded.status(), path);
  StripNulls(*spec);
  const std::vector<Violation> violations = Validate(*spec);
  for (const Violation& violation : violations) {
    Print(
        absl::StrCat(violation.pointer.empty() ? "/" : violation.pointer, ": ", violation.message));
  }
  return violations.empty() ? 0 : 1;
}

}  // namespace

absl::StatusOr<int> RunSpec(const Invocation& invocation) {
  const Flags& flags = invocation.flags;
  if (flags.Has("validate")) return ValidateBundle(flags.Value("validate"));
  const std::string path =
      flags.Value("file", absl::StrCat(flags.Value("bundle", "."), "/config.json"));
  Json spec = DefaultSpec();
  if (flags.Switch("rootless")) MakeRootless(spec);
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!file.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("create ", path));
  const std::string text = spec.dump(4) + "\n";
  if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return absl::ErrnoToStatus(errno, absl::StrCat("write ", path));
  }
  return 0;
}

}  // namespace ocid
