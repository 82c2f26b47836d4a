// Device nodes: those inside of the container against the spec, and the spec against the CDI files
// and the host's nodes that it came from, which may have changed since.
//
// Sources: CDI SPEC.md 1.1; openat2(2).
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/cdi/cdi_inject.h"
#include "daemon/cdi/cdi_registry.h"
#include "daemon/spec/drift/drift_parts.h"
#include "daemon/spec/provenance.h"
#include "runtime/oci/json_cursor.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/spec_edit.h"

namespace ocid {
namespace {

// Permissions as people write them: "0666".
std::string Octal(uint64_t mode) {
  return absl::StrCat("0", absl::Dec(mode >> 6 & 7), absl::Dec(mode >> 3 & 7), absl::Dec(mode & 7));
}

std::string TypeAndNumbers(std::string_view type, int64_t major, int64_t minor) {
  const std::string kind(type == "u" ? "c" : type);
  return kind == "p" ? "p" : absl::StrCat(kind, " ", major, ":", minor);
}

class DeviceComparison {
 public:
  DeviceComparison(const DriftSubject& subject, const ProcessDirectory& init, DriftReport& report)
      : subject_(subject), init_(init), report_(report), spec_(subject.spec.json(), "", &error_) {}

  void Run() {
    const std::vector<JsonCursor> devices = spec_["linux"]["devices"].Elements();
    for (const JsonCursor& device : devices) CompareNode(device);
    CompareSources();
  }

 private:
  void CompareNode(const JsonCursor& device) {
    const std::string path = CleanPath(device["path"].String());
    const std::string place = absl::StrCat(init_.PathOf("root"), path);
    const absl::StatusOr<UniqueFd> root = init_.OpenFile("root", O_PATH | O_DIRECTORY);
    if (!root.ok()) return CannotTell(device, std::string(root.status().message()));
    open_how how = {};
    how.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    const UniqueFd node(static_cast<int>(
        ::syscall(SYS_openat2, root->get(), path.c_str(), &how, sizeof(how))));
    const std::string wanted = TypeAndNumbers(device["type"].String(), device["major"].Signed(),
                                              device["minor"].Signed());
    if (!node.valid()) {
      return report_.Differs(device.pointer(), wanted, std::strerror(errno), place);
    }
    struct stat stat = {};
    if (::fstat(node.get(), &stat) != 0) return CannotTell(device, std::strerror(errno));
    const char* const type = S_ISCHR(stat.st_mode)   ? "c"
                             : S_ISBLK(stat.st_mode)  ? "b"
                             : S_ISFIFO(stat.st_mode) ? "p"
                                                      : "";
    report_.Compare(device.pointer(), wanted,
                    *type == '\0' ? "no device node"
                                  : TypeAndNumbers(type, major(stat.st_rdev), minor(stat.st_rdev)),
                    place);
    // A node of the host that is bound has the host's owner and mode.
    if (*type == '\0' || subject_.spec.HasNamespace("user")) return;
    const auto compare = [&](const char* member, const std::string& should,
                             const std::string& is) {
      if (device[member].exists()) report_.Compare(device[member].pointer(), should, is, place);
    };
    compare("fileMode", Octal(device["fileMode"].Unsigned() & 0777), Octal(stat.st_mode & 0777));
    compare("uid", absl::StrCat(device["uid"].Unsigned()), absl::StrCat(stat.st_uid));
    compare("gid", absl::StrCat(device["gid"].Unsigned()), absl::StrCat(stat.st_gid));
  }

  void CompareSources() {
    if (subject_.devices == nullptr) return;
    std::shared_ptr<const CdiSnapshot> snapshot;
    for (const SpecStep& step : subject_.journal.steps()) {
      if (step.actor.kind != ActorKind::kCdi) continue;
      if (snapshot == nullptr) {
        snapshot = subject_.devices->Refresh();
        FindWriters();
      }
      CompareSource(step, *snapshot);
    }
  }

  // Only nodes that nobody wrote after the step are the step's.
  void FindWriters() {
    for (const JsonCursor& device : spec_["linux"]["devices"].Elements()) {
      const absl::StatusOr<Blame> blame = BlamePointer(subject_.journal, device.pointer());
      if (blame.ok() && !blame->writers.empty()) {
        writers_.emplace(device.pointer(), blame->writers.front().step);
      }
    }
  }

  void CompareSource(const SpecStep& step, const CdiSnapshot& snapshot) {
    const SpecActor& actor = step.actor;
    const CdiEdits* edits = nullptr;
    std::string source = actor.source_file;
    std::string why;
    if (actor.name.find('=') != std::string::npos) {
      const absl::StatusOr<CdiDeviceEntry> entry = snapshot.Find(actor.name);
      if (entry.ok()) {
        edits = &entry->device().edits;
        source = entry->file->path;
        kept_.push_back(entry->file);
      } else {
        why = std::string(entry.status().message());
      }
    } else {
      for (const std::shared_ptr<const CdiFile>& file : snapshot.files) {
        if (file->path == actor.source_file && file->spec.ok()) edits = &file->spec->edits;
      }
      if (edits == nullptr) why = "the file is gone or has errors";
    }
    if (edits == nullptr) {
      for (const auto& [pointer, writer] : writers_) {
        if (writer == step.index) {
          report_.Differs(pointer, absl::StrCat("device ", actor.name), why, source);
        }
      }
      return;
    }
    for (const JsonCursor& device : spec_["linux"]["devices"].Elements()) {
      const auto writer = writers_.find(device.pointer());
      if (writer == writers_.end() || writer->second != step.index) continue;
      CompareWithEdits(device, *edits, source);
    }
  }

  void CompareWithEdits(const JsonCursor& device, const CdiEdits& edits,
                        const std::string& source) {
    const std::string wanted = TypeAndNumbers(device["type"].String(), device["major"].Signed(),
                                              device["minor"].Signed());
    for (const CdiDeviceNode& node : edits.device_nodes) {
      if (node.path != device["path"].String()) continue;
      const std::string host_path = node.host_path.empty() ? node.path : node.host_path;
      const absl::StatusOr<HostNode> host = StatHostNode(host_path);
      if (node.major != 0) {
        // The file's own numbers count, and they may be wrong about the host.
        report_.Compare(device.pointer(), wanted,
                        TypeAndNumbers(node.type.empty() ? device["type"].String() : node.type,
                                       node.major, node.minor),
                        source);
        if (!host.ok()) return;
      }
      report_.Compare(device.pointer(), wanted,
                      host.ok() ? TypeAndNumbers(std::string(1, host->type), host->major,
                                                 host->minor)
                                : std::string(host.status().message()),
                      host_path);
      return;
    }
    report_.Differs(device.pointer(), wanted, "no such node in the file any more", source);
  }

  void CannotTell(const JsonCursor& device, std::string why) {
    report_.CannotTell(device.pointer(), std::move(why));
  }

  const DriftSubject& subject_;
  const ProcessDirectory& init_;
  DriftReport& report_;
  absl::Status error_;
  const JsonCursor spec_;
  std::map<std::string, size_t> writers_;  // the step that wrote a device, by its pointer
  std::vector<std::shared_ptr<const CdiFile>> kept_;
};

}  // namespace

void CompareDevices(const DriftSubject& subject, const ProcessDirectory& init,
                    DriftReport& report) {
  DeviceComparison(subject, init, report).Run();
}

}  // namespace ocid
