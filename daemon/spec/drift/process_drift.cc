// The process: identity, capabilities, limits, labels and the environment it began with.
//
// Sources: proc_pid_status(5), proc_pid_limits(5), proc_pid_environ(5), capabilities(7).
#include <fcntl.h>
#include <sys/xattr.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "daemon/spec/drift/drift_parts.h"
#include "runtime/oci/json_cursor.h"
#include "runtime/plan/process_names.h"

namespace ocid {
namespace {

constexpr size_t kMaxEnvironmentBytes = size_t{8} << 20;  // the kernel takes a quarter of the stack

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

// An id of the container as the host has it: "100000" for 0 in a user namespace.
std::string HostId(const JsonCursor& mappings, uint64_t id) {
  const std::vector<JsonCursor> entries = mappings.Elements();
  if (entries.empty()) return absl::StrCat(id);
  for (const JsonCursor& entry : entries) {
    const uint64_t first = entry["containerID"].Unsigned();
    if (id >= first && id - first < entry["size"].Unsigned()) {
      return absl::StrCat(entry["hostID"].Unsigned() + (id - first));
    }
  }
  return absl::StrCat("unmapped ", id);
}

// "0 0 0 0": real, effective, saved, file system.
std::string Fields(std::string_view text) {
  return absl::StrJoin(absl::StrSplit(View(text), absl::ByAnyChar("\t "), absl::SkipEmpty()), " ");
}

std::string SortedNumbers(std::vector<std::string> numbers) {
  std::sort(numbers.begin(), numbers.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  return numbers.empty() ? "none" : absl::StrJoin(numbers, " ");
}

uint64_t Hexadecimal(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value;
}

std::string Capabilities(uint64_t mask) { return mask == 0 ? "none" : CapabilityNames(mask); }

class ProcessComparison {
 public:
  ProcessComparison(const DriftSubject& subject, const ProcessDirectory& init, DriftReport& report)
      : subject_(subject), init_(init), report_(report), spec_(subject.spec.json(), "", &error_) {}

  void Run() {
    CompareOomScore();
    CompareRlimits();
    // Before the program is executed, the launcher's own identity stands here.
    if (!subject_.executed) return;
    const absl::StatusOr<std::string> status = init_.Read("status");
    if (!status.ok()) {
      report_.CannotTell("/process", std::string(status.status().message()));
      return;
    }
    CompareUser(*status);
    CompareCapabilities(*status);
    ComparePrivileges(*status);
    CompareLabels();
    CompareEnvironment();
  }

 private:
  void CompareUser(std::string_view status) {
    const JsonCursor user = spec_["process"]["user"];
    const JsonCursor linux = spec_["linux"];
    const std::string file = init_.PathOf("status");
    const auto compare = [&](const char* field, const char* member, const char* mappings) {
      const std::string id = HostId(linux[mappings], user[member].Unsigned());
      report_.Compare(absl::StrCat("/process/user/", member),
                      absl::StrJoin(std::vector<std::string>(4, id), " "),
                      Fields(StatusField(status, field).value_or("")), file);
    };
    compare("Uid", "uid", "uidMappings");
    compare("Gid", "gid", "gidMappings");
    std::set<std::string> groups;
    for (const JsonCursor& gid : user["additionalGids"].Elements()) {
      groups.insert(HostId(linux["gidMappings"], gid.Unsigned()));
    }
    const std::vector<std::string> observed =
        absl::StrSplit(Fields(StatusField(status, "Groups").value_or("")), ' ', absl::SkipEmpty());
    const std::set<std::string> unique(observed.begin(), observed.end());
    report_.Compare("/process/user/additionalGids", SortedNumbers({groups.begin(), groups.end()}),
                    SortedNumbers({unique.begin(), unique.end()}), file);
  }

  uint64_t ReadSet(const char* name) const {
    uint64_t mask = 0;
    for (const std::string& text : spec_["process"]["capabilities"][name].Strings()) {
      if (const std::optional<int> number = CapabilityNumber(text)) mask |= uint64_t{1} << *number;
    }
    return mask & subject_.host.capability_bounds;
  }

  // A file that gives capabilities to who executes it leads to sets that the spec does not tell.
  bool ProgramHasCapabilities() const {
    const absl::StatusOr<UniqueFd> file = init_.OpenFile("exe", O_PATH);
    if (!file.ok()) return false;
    const std::string path = absl::StrCat("/proc/self/fd/", file->get());
    return ::getxattr(path.c_str(), "security.capability", nullptr, 0) > 0;
  }

  void CompareCapabilities(std::string_view status) {
    CapabilitySets sets = {.bounding = ReadSet("bounding"),
                           .effective = ReadSet("effective"),
                           .permitted = ReadSet("permitted"),
                           .inheritable = ReadSet("inheritable"),
                           .ambient = ReadSet("ambient")};
    // As the plan has it: what the kernel would refuse was left out.
    sets.effective &= sets.permitted;
    sets.inheritable &= sets.bounding | sets.permitted;
    sets.ambient &= sets.permitted & sets.inheritable;
    sets = AfterExecve(sets, spec_["process"]["user"]["uid"].Unsigned() == 0,
                       spec_["process"]["noNewPrivileges"].Bool());
    const bool by_file = ProgramHasCapabilities();
    const auto compare = [&](const char* field, const char* member, uint64_t expected,
                             bool changed_by_file) {
      std::string pointer = absl::StrCat("/process/capabilities/", member);
      if (changed_by_file) {
        return report_.CannotTell(std::move(pointer), "the program's file has capabilities");
      }
      report_.Compare(std::move(pointer), Capabilities(expected),
                      Capabilities(Hexadecimal(StatusField(status, field).value_or(""))),
                      init_.PathOf("status"));
    };
    compare("CapBnd", "bounding", sets.bounding, false);
    compare("CapEff", "effective", sets.effective, by_file);
    compare("CapPrm", "permitted", sets.permitted, by_file);
    compare("CapInh", "inheritable", sets.inheritable, false);
    compare("CapAmb", "ambient", sets.ambient, by_file);
  }

  void ComparePrivileges(std::string_view status) {
    // A daemon that is confined itself hands that down.
    const absl::StatusOr<ProcessDirectory> self = ProcessDirectory::Open(subject_.parent_pid, 0);
    const absl::StatusOr<std::string> own =
        self.ok() ? self->Read("status") : absl::StatusOr<std::string>(self.status());
    const auto inherited = [&own](const char* field) {
      return own.ok() && StatusField(*own, field).value_or("0") != "0";
    };
    const auto words = [](const char* field, std::string_view value) -> std::string {
      if (std::string_view(field) == "NoNewPrivs") return value == "1" ? "true" : "false";
      if (value == "2") return "filter";
      return value == "0" ? "no filter" : absl::StrCat("mode ", View(value));
    };
    const auto compare = [&](const char* field, std::string pointer, bool wanted,
                             const char* value) {
      report_.Compare(std::move(pointer), words(field, wanted || inherited(field) ? value : "0"),
                      words(field, StatusField(status, field).value_or("0")),
                      init_.PathOf("status"));
    };
    compare("NoNewPrivs", "/process/noNewPrivileges",
            spec_["process"]["noNewPrivileges"].Bool(), "1");
    compare("Seccomp", "/linux/seccomp", spec_["linux"]["seccomp"].exists() && FiltersAnything(),
            "2");
  }

  // A profile that allows everything by default and has no rules needs no filter.
  bool FiltersAnything() const {
    const JsonCursor seccomp = spec_["linux"]["seccomp"];
    return seccomp["defaultAction"].String() != "SCMP_ACT_ALLOW" ||
           !seccomp["syscalls"].Elements().empty();
  }

  void CompareOomScore() {
    const JsonCursor score = spec_["process"]["oomScoreAdj"];
    if (!score.exists()) return;
    const absl::StatusOr<std::string> text = init_.Read("oom_score_adj");
    if (!text.ok()) return CannotTell(score.pointer(), text.status());
    report_.Compare(score.pointer(), absl::StrCat(score.Signed()),
                    std::string(absl::StripAsciiWhitespace(*text)), init_.PathOf("oom_score_adj"));
  }

  // "Max open files            1024                 4096                 files"
  void CompareRlimits() {
    const std::vector<JsonCursor> rlimits = spec_["process"]["rlimits"].Elements();
    if (rlimits.empty()) return;
    const absl::StatusOr<std::string> text = init_.Read("limits");
    if (!text.ok()) return CannotTell("/process/rlimits", text.status());
    const auto words = [](uint64_t value) {
      return value == UINT64_MAX ? std::string("unlimited") : absl::StrCat(value);
    };
    for (const JsonCursor& rlimit : rlimits) {
      const std::string_view title = LimitTitle(rlimit["type"].String());
      constexpr size_t kTitleWidth = 26;
      for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
        if (title.empty() || line.size() < kTitleWidth ||
            absl::StripAsciiWhitespace(line.substr(0, kTitleWidth)) != View(title)) {
          continue;
        }
        const std::vector<std::string> values =
            absl::StrSplit(line.substr(kTitleWidth), ' ', absl::SkipEmpty());
        if (values.size() < 2) continue;
        report_.Compare(rlimit.pointer(),
                        absl::StrCat("soft ", words(rlimit["soft"].Unsigned()), ", hard ",
                                     words(rlimit["hard"].Unsigned())),
                        absl::StrCat("soft ", values[0], ", hard ", values[1]),
                        init_.PathOf("limits"));
      }
    }
  }

  // fs/proc/base.c, lnames.
  static std::string_view LimitTitle(std::string_view type) {
    static constexpr std::pair<std::string_view, std::string_view> kTitles[] = {
        {"RLIMIT_CPU", "Max cpu time"},
        {"RLIMIT_FSIZE", "Max file size"},
        {"RLIMIT_DATA", "Max data size"},
        {"RLIMIT_STACK", "Max stack size"},
        {"RLIMIT_CORE", "Max core file size"},
        {"RLIMIT_RSS", "Max resident set"},
        {"RLIMIT_NPROC", "Max processes"},
        {"RLIMIT_NOFILE", "Max open files"},
        {"RLIMIT_MEMLOCK", "Max locked memory"},
        {"RLIMIT_AS", "Max address space"},
        {"RLIMIT_LOCKS", "Max file locks"},
        {"RLIMIT_SIGPENDING", "Max pending signals"},
        {"RLIMIT_MSGQUEUE", "Max msgqueue size"},
        {"RLIMIT_NICE", "Max nice priority"},
        {"RLIMIT_RTPRIO", "Max realtime priority"},
        {"RLIMIT_RTTIME", "Max realtime timeout"},
    };
    for (const auto& [name, title] : kTitles) {
      if (name == type) return title;
    }
    return {};
  }

  void CompareLabels() {
    const auto compare = [this](const JsonCursor& label, bool module_runs,
                                const std::string& file) {
      const std::string wanted = label.String();
      if (wanted.empty() || !module_runs) return;
      const absl::StatusOr<std::string> text = init_.Read(file, 4096);
      if (!text.ok()) return CannotTell(label.pointer(), text.status());
      // "profile (enforce)", or a label that may end with NUL
      std::string observed(absl::StripAsciiWhitespace(text->substr(0, text->find('\0'))));
      observed = observed.substr(0, observed.find(" ("));
      report_.Compare(label.pointer(), wanted, std::move(observed), init_.PathOf(file));
    };
    compare(spec_["process"]["apparmorProfile"], subject_.host.apparmor, "attr/apparmor/current");
    compare(spec_["process"]["selinuxLabel"], subject_.host.selinux, "attr/current");
  }

  // What stands where the kernel put the environment. Shells that execute their last command hand
  // on variables of their own, which differ from no spec.
  void CompareEnvironment() {
    const std::vector<JsonCursor> entries = spec_["process"]["env"].Elements();
    if (entries.empty()) return;
    const absl::StatusOr<std::string> text = init_.Read("environ", kMaxEnvironmentBytes);
    if (!text.ok()) return CannotTell("/process/env", text.status());
    std::set<std::string, std::less<>> present;
    for (const absl::string_view entry : absl::StrSplit(*text, '\0')) {
      present.emplace(std::string_view(entry.data(), entry.size()));
    }
    for (const JsonCursor& cursor : entries) {
      const std::string wanted = cursor.String();
      if (present.contains(wanted)) {
        report_.Holds(cursor.pointer());
        continue;
      }
      const std::string name = wanted.substr(0, wanted.find('='));
      if (name == "PWD" || name == "OLDPWD" || name == "SHLVL" || name == "_") continue;
      const auto other = present.lower_bound(name + "=");
      const bool changed = other != present.end() && other->starts_with(name + "=");
      report_.Differs(cursor.pointer(), wanted, changed ? Printable(*other) : "not set",
                      init_.PathOf("environ"));
    }
  }

  // A program may write what it likes over its environment.
  static std::string Printable(std::string text) {
    for (char& c : text) {
      if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
    }
    return text.substr(0, 4096);
  }

  void CannotTell(std::string pointer, const absl::Status& status) {
    report_.CannotTell(std::move(pointer), std::string(status.message()));
  }

  const DriftSubject& subject_;
  const ProcessDirectory& init_;
  DriftReport& report_;
  absl::Status error_;
  const JsonCursor spec_;
};

}  // namespace

// capabilities(7), "Transformation of capabilities during execve()", for a file without any.
CapabilitySets AfterExecve(CapabilitySets sets, bool is_root, bool no_new_privileges) {
  if (!is_root) {
    sets.permitted = sets.ambient;
    sets.effective = sets.ambient;
    return sets;
  }
  uint64_t permitted = sets.bounding | sets.inheritable;
  // security/commoncap.c: with no_new_privs an execve adds nothing.
  if (no_new_privileges && (permitted & ~sets.permitted) != 0) permitted &= sets.permitted;
  sets.permitted = permitted | sets.ambient;
  sets.effective = sets.permitted;
  return sets;
}

void CompareProcess(const DriftSubject& subject, const ProcessDirectory& init,
                    DriftReport& report) {
  ProcessComparison(subject, init, report).Run();
}

}  // namespace ocid
