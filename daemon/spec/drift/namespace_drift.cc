// Namespaces, and the names and settings that live in them.
//
// Sources: namespaces(7), user_namespaces(7), time_namespaces(7), uts_namespaces(7), sysctl(8).
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "daemon/spec/drift/drift_parts.h"
#include "runtime/oci/json_cursor.h"
#include "runtime/plan/sysctl_path.h"

namespace ocid {
namespace {

struct NamespaceType {
  const char* type;  // in the spec
  const char* file;  // in /proc/PID/ns
};

constexpr NamespaceType kTypes[] = {
    {"pid", "pid"}, {"network", "net"}, {"mount", "mnt"},       {"ipc", "ipc"},
    {"uts", "uts"}, {"user", "user"},   {"cgroup", "cgroup"}, {"time", "time"},
};

// "mnt:[4026531841]" of a file that somebody bound a namespace to; empty if it is gone.
std::string NamespaceAt(const std::string& path, const char* file) {
  struct stat stat = {};
  if (::stat(path.c_str(), &stat) != 0) return {};
  return absl::StrCat(file, ":[", stat.st_ino, "]");
}

void CompareNamespace(const NamespaceType& type, const JsonCursor& entry,
                      const ProcessDirectory& init, const ProcessDirectory& parent,
                      DriftReport& report) {
  const std::string file = absl::StrCat("ns/", type.file);
  std::string pointer =
      entry.exists() ? entry.pointer() : absl::StrCat("/linux/namespaces (", type.type, ")");
  const absl::StatusOr<std::string> observed = init.ReadLink(file);
  const absl::StatusOr<std::string> outside = parent.ReadLink(file);
  if (!observed.ok() || !outside.ok()) {
    return report.CannotTell(std::move(pointer),
                             std::string((observed.ok() ? outside : observed).status().message()));
  }
  const std::string read_from = init.PathOf(file);
  const std::string path = entry["path"].String();
  if (!entry.exists()) {
    report.Compare(std::move(pointer), absl::StrCat("the daemon's, ", *outside),
                   *observed == *outside ? absl::StrCat("the daemon's, ", *outside) : *observed,
                   read_from);
  } else if (path.empty()) {
    const std::string wanted = absl::StrCat("a ", type.type, " namespace of its own");
    report.Compare(std::move(pointer), wanted,
                   *observed != *outside ? wanted : absl::StrCat("the daemon's, ", *outside),
                   read_from);
  } else {
    const std::string wanted = NamespaceAt(path, type.file);
    if (wanted.empty()) {
      return report.CannotTell(std::move(pointer), absl::StrCat(path, ": ", std::strerror(errno)));
    }
    report.Compare(std::move(pointer), wanted, *observed, read_from);
  }
}

// "0 100000 65536" for each line, whatever the spaces.
std::string Normalized(std::string_view text) {
  std::vector<std::string> lines;
  for (const absl::string_view line :
       absl::StrSplit(absl::string_view(text.data(), text.size()), '\n')) {
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (!words.empty()) lines.push_back(absl::StrJoin(words, " "));
  }
  return absl::StrJoin(lines, ", ");
}

void CompareIdMap(const JsonCursor& mappings, const char* file, const ProcessDirectory& init,
                  DriftReport& report) {
  if (mappings.Elements().empty()) return;
  std::string wanted;
  for (const JsonCursor& entry : mappings.Elements()) {
    absl::StrAppend(&wanted, entry["containerID"].Unsigned(), " ", entry["hostID"].Unsigned(), " ",
                    entry["size"].Unsigned(), "\n");
  }
  const absl::StatusOr<std::string> text = init.Read(file);
  if (!text.ok()) {
    return report.CannotTell(mappings.pointer(), std::string(text.status().message()));
  }
  report.Compare(mappings.pointer(), Normalized(wanted), Normalized(*text), init.PathOf(file));
}

void CompareTimeOffsets(const JsonCursor& offsets, const ProcessDirectory& init,
                        DriftReport& report) {
  if (offsets.Members().empty()) return;
  const absl::StatusOr<std::string> text = init.Read("timens_offsets");
  if (!text.ok()) {
    return report.CannotTell(offsets.pointer(), std::string(text.status().message()));
  }
  for (const auto& [clock, offset] : offsets.Members()) {
    std::string observed = "none";
    for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
      const std::string words = Normalized({line.data(), line.size()});
      if (words.starts_with(clock + " ")) observed = words.substr(clock.size() + 1);
    }
    report.Compare(offset.pointer(),
                   absl::StrCat(offset["secs"].Signed(), " ", offset["nanosecs"].Unsigned()),
                   std::move(observed), init.PathOf("timens_offsets"));
  }
}

// What is read in the container's namespaces.
struct KernelSettings {
  std::string hostname;
  std::string domainname;
  struct Sysctl {
    std::string pointer;
    std::string file;
    std::string wanted;
    absl::StatusOr<std::string> value = std::string();
  };
  std::vector<Sysctl> sysctls;
  std::string error;  // empty: all of it was read
};

// Runs in a thread of its own, which never comes back to the daemon's namespaces. /proc is the
// host's: what it shows of sysctls follows the reader's namespaces (fs/proc/proc_sysctl.c).
void ReadInside(const std::vector<std::pair<UniqueFd, int>>& namespaces,
                KernelSettings& settings) {
  for (const auto& [fd, type] : namespaces) {
    if (::setns(fd.get(), type) != 0) {
      settings.error = absl::StrCat("setns: ", std::strerror(errno));
      return;
    }
  }
  struct utsname names = {};
  if (::uname(&names) == 0) {
    settings.hostname = names.nodename;
    settings.domainname = names.domainname;
  }
  constexpr size_t kMaxSysctlBytes = 65536;
  for (KernelSettings::Sysctl& sysctl : settings.sysctls) {
    const UniqueFd file(::open(sysctl.file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    sysctl.value = file.valid() ? ReadBounded(file, kMaxSysctlBytes)
                                : absl::UnavailableError(std::strerror(errno));
  }
}

// Words, because the kernel writes tabs where people write spaces.
std::string Words(std::string_view text) {
  return absl::StrJoin(absl::StrSplit(absl::string_view(text.data(), text.size()),
                                      absl::ByAnyChar(" \t\n"), absl::SkipEmpty()),
                       " ");
}

}  // namespace

void CompareNamespaces(const DriftSubject& subject, const ProcessDirectory& init,
                       const ProcessDirectory& parent, DriftReport& report) {
  absl::Status error;
  const JsonCursor linux = JsonCursor(subject.spec.json(), "", &error)["linux"];
  const std::vector<JsonCursor> entries = linux["namespaces"].Elements();
  const JsonCursor absent = linux["namespaces"]["absent"];
  for (const NamespaceType& type : kTypes) {
    const auto entry = std::find_if(
        entries.begin(), entries.end(),
        [&type](const JsonCursor& candidate) { return candidate["type"].String() == type.type; });
    CompareNamespace(type, entry == entries.end() ? absent : *entry, init, parent, report);
  }
  CompareIdMap(linux["uidMappings"], "uid_map", init, report);
  CompareIdMap(linux["gidMappings"], "gid_map", init, report);
  CompareTimeOffsets(linux["timeOffsets"], init, report);
}

void CompareKernelSettings(const DriftSubject& subject, const ProcessDirectory& init,
                           DriftReport& report) {
  absl::Status error;
  const JsonCursor spec(subject.spec.json(), "", &error);
  const std::string hostname = spec["hostname"].String();
  const std::string domainname = spec["domainname"].String();
  KernelSettings settings;
  for (const auto& [name, value] : spec["linux"]["sysctl"].Members()) {
    settings.sysctls.push_back({.pointer = value.pointer(),
                                .file = absl::StrCat("/proc/sys/", SysctlPath(name)),
                                .wanted = value.String()});
  }
  if (hostname.empty() && domainname.empty() && settings.sysctls.empty()) return;

  std::vector<std::pair<UniqueFd, int>> namespaces;
  for (const auto& [file, type] :
       {std::pair{"ns/uts", CLONE_NEWUTS}, {"ns/ipc", CLONE_NEWIPC}, {"ns/net", CLONE_NEWNET}}) {
    absl::StatusOr<UniqueFd> fd = init.OpenFile(file, O_RDONLY);
    if (!fd.ok()) settings.error = std::string(fd.status().message());
    if (fd.ok()) namespaces.emplace_back(*std::move(fd), type);
  }
  if (settings.error.empty()) {
    std::thread reader([&] { ReadInside(namespaces, settings); });
    reader.join();
  }
  const auto compare = [&](std::string pointer, const std::string& wanted,
                           const absl::StatusOr<std::string>& observed, std::string read_from) {
    if (wanted.empty()) return;
    if (!settings.error.empty()) return report.CannotTell(std::move(pointer), settings.error);
    if (!observed.ok()) {
      return report.CannotTell(std::move(pointer), std::string(observed.status().message()));
    }
    report.Compare(std::move(pointer), Words(wanted), Words(*observed), std::move(read_from));
  };
  const std::string uts = absl::StrCat("uname in ", init.PathOf("ns/uts"));
  compare("/hostname", hostname, settings.hostname, uts);
  compare("/domainname", domainname, settings.domainname, uts);
  for (const KernelSettings::Sysctl& sysctl : settings.sysctls) {
    compare(sysctl.pointer, sysctl.wanted, sysctl.value,
            absl::StrCat(sysctl.file, " in the container's namespaces"));
  }
}

}  // namespace ocid
