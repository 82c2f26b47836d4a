// Mounts: those that the spec asks for, and those that nobody asked for.
//
// What is expected at a place is found in the kernel's own table, whose reading touches no file
// system. Only where a destination is not listed literally (it leads through a symlink) the path is
// walked inside of the container, first without waiting for any file system.
//
// Sources: proc_pid_mountinfo(5), openat2(2), statx(2), runtime-spec config.md#mounts.
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/spec/drift/drift_parts.h"
#include "daemon/spec/drift/mount_table.h"
#include "runtime/oci/json_cursor.h"
#include "runtime/oci/spec_edit.h"
#include "runtime/plan/mount_options.h"

namespace ocid {
namespace {

constexpr size_t kMaxTableBytes = size_t{32} << 20;

constexpr std::pair<uint64_t, const char*> kAttributes[] = {
    {MOUNT_ATTR_RDONLY, "ro"},
    {MOUNT_ATTR_NOSUID, "nosuid"},
    {MOUNT_ATTR_NODEV, "nodev"},
    {MOUNT_ATTR_NOEXEC, "noexec"},
};

bool IsBeneath(std::string_view path, std::string_view folder) {
  if (folder == "/") return path.size() > 1;
  return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

// File systems that a program answers for, which may never do so.
bool MayHang(const std::string& type) {
  return type.starts_with("fuse") || type.starts_with("nfs") || type == "9p" || type == "cifs" ||
         type == "smb3" || type == "ceph";
}

struct Wanted {
  JsonCursor cursor;
  std::string destination;
  std::string type;
  MountOptions options;

  bool is_bind() const { return options.bind || type == "bind"; }
  bool is_cgroup() const { return type == "cgroup" || type == "cgroup2"; }
};

class MountComparison {
 public:
  MountComparison(const DriftSubject& subject, const ProcessDirectory& init, DriftReport& report)
      : subject_(subject), init_(init), report_(report), spec_(subject.spec.json(), "", &error_) {}

  void Run(const ProcessDirectory& parent) {
    const absl::StatusOr<std::string> text = init_.Read("mountinfo", kMaxTableBytes);
    const absl::StatusOr<std::string> host = parent.Read("mountinfo", kMaxTableBytes);
    if (!text.ok() || !host.ok()) {
      const absl::Status& why = text.ok() ? host.status() : text.status();
      return report_.CannotTell("/mounts", std::string(why.message()));
    }
    mounts_ = ParseMountTable(*text);
    for (const MountEntry& mount : ParseMountTable(*host)) {
      host_mounts_[Identity(mount)].push_back(mount.mount_point);
    }
    may_hang_ = std::any_of(mounts_.begin(), mounts_.end(),
                            [](const MountEntry& mount) { return MayHang(mount.type); });
    ReadSpec();
    CompareRoot();
    for (size_t i = 0; i < wanted_.size(); ++i) CompareMount(i);
    CompareHiddenPaths("maskedPaths");
    CompareHiddenPaths("readonlyPaths");
    FindUnexpected();
  }

 private:
  static std::string Identity(const MountEntry& mount) {
    return absl::StrCat(mount.device, " ", mount.root, " ", mount.type);
  }

  void ReadSpec() {
    for (const JsonCursor& cursor : spec_["mounts"].Elements()) {
      Wanted mount{cursor, CleanPath(cursor["destination"].String()), cursor["type"].String(),
                   ReadMountOptions(cursor["options"])};
      wanted_.push_back(std::move(mount));
    }
  }

  const MountEntry* TopmostAt(std::string_view path) const {
    const auto found =
        std::find_if(mounts_.rbegin(), mounts_.rend(),
                     [path](const MountEntry& mount) { return mount.mount_point == path; });
    return found == mounts_.rend() ? nullptr : &*found;
  }

  const MountEntry* FindId(uint64_t id) const {
    const auto found = std::find_if(mounts_.begin(), mounts_.end(), [id](const MountEntry& mount) {
      return static_cast<uint64_t>(mount.id) == id;
    });
    return found == mounts_.end() ? nullptr : &*found;
  }

  // What stands at a path of the container.
  struct Place {
    const MountEntry* mount = nullptr;  // the path is the top of this mount
    bool missing = false;
    std::string error = {};  // not empty: cannot be told
  };

  Place Find(const std::string& path) const {
    if (const MountEntry* const listed = TopmostAt(path)) return {.mount = listed};
    const absl::StatusOr<UniqueFd> root = init_.OpenFile("root", O_PATH | O_DIRECTORY);
    if (!root.ok()) return {.error = std::string(root.status().message())};
    open_how how = {};
    how.flags = O_PATH | O_CLOEXEC;
    // RESOLVE_CACHED: no file system of the container is waited for.
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_CACHED;
    const auto open = [&] {
      return UniqueFd(static_cast<int>(
          ::syscall(SYS_openat2, root->get(), path.c_str(), &how, sizeof(how))));
    };
    UniqueFd file = open();
    if (!file.valid() && errno == EAGAIN && !may_hang_) {
      how.resolve &= ~uint64_t{RESOLVE_CACHED};
      file = open();
    }
    if (!file.valid()) {
      const int error = errno;
      if (error == ENOENT || error == ENOTDIR) return {.missing = true};
      return {.error = std::strerror(error)};
    }
    struct statx about = {};
    if (::statx(file.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &about) != 0) {
      return {.error = std::strerror(errno)};
    }
    if ((about.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0) return {};
    return {.mount = FindId(about.stx_mnt_id)};
  }

  std::string Table() const { return init_.PathOf("mountinfo"); }

  void CompareRoot() {
    const JsonCursor readonly = spec_["root"]["readonly"];
    explained_["/"] = 1;
    if (!readonly.Bool()) return;
    const MountEntry* const root = TopmostAt("/");
    if (root == nullptr) return report_.CannotTell(readonly.pointer(), "no root is listed");
    report_.Compare(readonly.pointer(), "read-only",
                    root->HasOption("ro") ? "read-only" : "writable", Table());
  }

  // A later mount of the spec on the same place or above it hides this one.
  bool IsHidden(size_t index) const {
    for (size_t i = index + 1; i < wanted_.size(); ++i) {
      if (wanted_[i].options.remount && !wanted_[i].is_bind()) continue;
      if (wanted_[i].destination == wanted_[index].destination ||
          IsBeneath(wanted_[index].destination, wanted_[i].destination)) {
        return true;
      }
    }
    return false;
  }

  void CompareMount(size_t index) {
    const Wanted& wanted = wanted_[index];
    const bool remount = wanted.options.remount && !wanted.is_bind();
    const Place place = Find(wanted.destination);
    if (!remount) {
      ++explained_[place.mount != nullptr ? place.mount->mount_point : wanted.destination];
    }
    if (IsHidden(index)) return;
    if (!place.error.empty()) return report_.CannotTell(wanted.cursor.pointer(), place.error);
    if (place.mount == nullptr) {
      return report_.Differs(wanted.cursor.pointer(),
                             absl::StrCat(wanted.is_bind() ? "a bind mount" : wanted.type, " on ",
                                          wanted.destination),
                             place.missing ? "nothing there" : "not mounted", Table());
    }
    CompareAttributes(wanted, *place.mount, remount);
  }

  // Of a file system that is the container's own all attributes are its spec's; a bind mount also
  // has those of what it is bound to.
  void CompareAttributes(const Wanted& wanted, const MountEntry& mount, bool remount) {
    const std::string place = absl::StrCat(" on ", wanted.destination);
    std::string expected;
    std::string observed;
    const auto differ = [&](const std::string& should, const std::string& is) {
      absl::StrAppend(&expected, expected.empty() ? "" : ", ", should);
      absl::StrAppend(&observed, observed.empty() ? "" : ", ", is);
    };
    const bool own = !wanted.is_bind() && !wanted.is_cgroup() && !remount;
    if (own && mount.type != wanted.type) differ(wanted.type, mount.type);
    for (const auto& [bit, name] : kAttributes) {
      const bool is_set = mount.HasOption(name);
      const bool must = (wanted.options.own.set & bit) != 0;
      const bool must_not = (wanted.options.own.clear & bit) != 0 || (own && !must);
      if ((must && !is_set) || (must_not && is_set && !RemountSets(wanted, bit))) {
        differ(must ? name : absl::StrCat("not ", name), is_set ? name : absl::StrCat("not ", name));
      }
    }
    if (expected.empty()) return report_.Holds(wanted.cursor.pointer());
    report_.Differs(wanted.cursor.pointer(), expected + place, observed + place, Table());
  }

  // "remount" entries of the same place have the last word.
  bool RemountSets(const Wanted& mount, uint64_t bit) const {
    return std::any_of(wanted_.begin(), wanted_.end(), [&](const Wanted& other) {
      return other.options.remount && other.destination == mount.destination &&
             (other.options.own.set & bit) != 0;
    });
  }

  void CompareHiddenPaths(const char* member) {
    const bool masked = std::string_view(member) == "maskedPaths";
    for (const JsonCursor& cursor : spec_["linux"][member].Elements()) {
      const std::string path = CleanPath(cursor.String());
      const Place place = Find(path);
      if (place.missing) {
        report_.Holds(cursor.pointer());
        continue;
      }
      if (!place.error.empty()) {
        report_.CannotTell(cursor.pointer(), place.error);
        continue;
      }
      if (place.mount != nullptr) ++explained_[place.mount->mount_point];
      const bool holds =
          place.mount != nullptr && (masked ? IsMask(*place.mount) : place.mount->HasOption("ro"));
      const std::string expected = absl::StrCat(path, masked ? " masked" : " read-only");
      report_.Compare(cursor.pointer(), expected,
                      holds ? expected
                      : place.mount == nullptr
                          ? absl::StrCat(path, masked ? " open" : " not mounted read-only")
                          : place.mount->Describe(),
                      Table());
    }
  }

  // An empty tmpfs over a folder, the null device over a file.
  static bool IsMask(const MountEntry& mount) {
    return mount.type == "tmpfs" || mount.type == "devtmpfs" ||
           absl::EndsWith(mount.root, "/null");
  }

  void FindUnexpected() {
    ExpectBoundNodes();
    std::set<std::string> seen;
    for (const MountEntry& mount : mounts_) {
      const auto budget = explained_.find(mount.mount_point);
      const bool again = !seen.insert(absl::StrCat(mount.mount_point, " ", Identity(mount))).second;
      if (budget != explained_.end() && budget->second > 0) {
        --budget->second;
      } else if (!IsPartOf(mount, again)) {
        report_.Differs(absl::StrCat("/mounts (", mount.mount_point, ")"), "no mount",
                        mount.Describe(), Table());
      }
    }
  }

  // No user namespace may make device nodes: the host's are bound. A terminal is bound always.
  void ExpectBoundNodes() {
    if (spec_["process"]["terminal"].Bool()) ++explained_["/dev/console"];
    if (!subject_.spec.HasNamespace("user")) return;
    std::set<std::string> paths = {"/dev/null", "/dev/zero",   "/dev/full",
                                   "/dev/tty",  "/dev/random", "/dev/urandom"};
    for (const JsonCursor& device : spec_["linux"]["devices"].Elements()) {
      paths.insert(CleanPath(device["path"].String()));
    }
    for (const std::string& path : paths) ++explained_[path];
  }

  // Mounts that come with one of the spec's.
  bool IsPartOf(const MountEntry& mount, bool again) const {
    // A read-only path is a bind of itself with all beneath it.
    for (const JsonCursor& path : spec_["linux"]["readonlyPaths"].Elements()) {
      if (again && IsBeneath(mount.mount_point, CleanPath(path.String()))) return true;
    }
    // The hierarchies of a cgroup mount, and what the host has below what was bound recursively.
    for (const Wanted& wanted : wanted_) {
      if (!IsBeneath(mount.mount_point, wanted.destination)) continue;
      if (wanted.is_cgroup() && mount.type.starts_with("cgroup")) return true;
      if (!wanted.options.recursive && !wanted.is_cgroup()) continue;
      if (HostHas(mount, mount.mount_point.substr(wanted.destination.size())) || IsCopy(mount)) {
        return true;
      }
    }
    return HostHas(mount, mount.mount_point);
  }

  // What holds the container's own root, bound recursively, has the container's first mounts in it.
  bool IsCopy(const MountEntry& mount) const {
    return std::any_of(mounts_.begin(), mounts_.end(), [&mount](const MountEntry& other) {
      return other.id != mount.id && Identity(other) == Identity(mount) &&
             (other.mount_point == "/" || absl::EndsWith(mount.mount_point, other.mount_point));
    });
  }

  bool HostHas(const MountEntry& mount, const std::string& end) const {
    const auto found = host_mounts_.find(Identity(mount));
    return found != host_mounts_.end() &&
           std::any_of(found->second.begin(), found->second.end(),
                       [&end](const std::string& place) { return absl::EndsWith(place, end); });
  }

  const DriftSubject& subject_;
  const ProcessDirectory& init_;
  DriftReport& report_;
  absl::Status error_;
  const JsonCursor spec_;
  std::vector<MountEntry> mounts_;
  std::map<std::string, std::vector<std::string>> host_mounts_;  // places, by identity
  bool may_hang_ = false;
  std::vector<Wanted> wanted_;
  std::map<std::string, int> explained_;  // how many mounts are expected at a place
};

}  // namespace

void CompareMounts(const DriftSubject& subject, const ProcessDirectory& init,
                   const ProcessDirectory& parent, DriftReport& report) {
  // In the host's mount namespace the table is the host's.
  const absl::StatusOr<std::string> inside = init.ReadLink("ns/mnt");
  const absl::StatusOr<std::string> outside = parent.ReadLink("ns/mnt");
  if (inside.ok() && outside.ok() && *inside == *outside) {
    return report.CannotTell("/mounts", "the container shares the host's mount namespace");
  }
  MountComparison(subject, init, report).Run(parent);
}

}  // namespace ocid
