#include "runtime/cgroup/kernel_cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/text.h"

namespace ocid {
namespace {

constexpr absl::Duration kUndoTimeout = absl::Seconds(2);

absl::Status MissingError(const UnenforcedLimit& limit) {
  absl::Status status = MakeError(absl::StatusCode::kFailedPrecondition, "CONTROLLER_MISSING",
                                  absl::StrCat(limit.pointer, " cannot be enforced: ", limit.why),
                                  {{"controller", limit.controller}, {"pointer", limit.pointer}});
  AddFieldViolation(status, limit.pointer, limit.why);
  return status;
}

absl::Status BusyError(const std::string& path) {
  return MakeError(absl::StatusCode::kAlreadyExists, "CGROUP_BUSY",
                   absl::StrCat("cgroup ", path, " exists and is in use"), {{"path", path}});
}

std::vector<std::string> Components(const std::string& path) {
  std::vector<std::string> components;
  for (const std::string_view component : SplitText(path, '/')) components.emplace_back(component);
  return components;
}

// Kernels since 6.1 keep the file and refuse every value; what it limited is in the memory limit.
bool IsObsolete(const std::string& file) { return file.starts_with("memory.kmem."); }

// A limit and the value that bounds it (memory and memsw, quota and burst) must be changed in the
// order that keeps them consistent, which depends on the values in force.
bool MayDependOnLaterSetting(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status);
}

absl::Status FillCpuset(BorrowedFd parent, BorrowedFd child) {
  // A v1 cpuset begins without CPUs and memory nodes, and no process can join it until it has both.
  for (const char* const file : {"cpuset.cpus", "cpuset.mems"}) {
    const absl::StatusOr<std::string> own = ReadCgroupFile(child, file);
    if (!own.ok()) return own.status();
    if (!StripSpace(*own).empty()) continue;
    const absl::StatusOr<std::string> inherited = ReadCgroupFile(parent, file);
    if (!inherited.ok()) return inherited.status();
    const absl::Status written = WriteCgroupFile(child, file, StripSpace(*inherited));
    if (!written.ok()) return written;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status KernelCgroup::Check(const CgroupLayout& layout, bool allow_missing_controllers,
                                 const Resources& resources, CgroupSettings& settings) {
  settings = CompileSettings(resources, layout);
  if (!allow_missing_controllers && !settings.unenforced.empty()) {
    return MissingError(settings.unenforced[0]);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<KernelCgroup>> KernelCgroup::Create(KernelCgroupOptions options,
                                                                   const Resources& resources) {
  CgroupSettings settings;
  const absl::Status checked =
      Check(*options.layout, options.allow_missing_controllers, resources, settings);
  if (!checked.ok()) return checked;
  // Not make_unique: the constructor is private.
  std::unique_ptr<KernelCgroup> cgroup(new KernelCgroup(std::move(options)));
  absl::Status status = cgroup->MakeUnified();
  if (!status.ok()) return status;
  absl::Cleanup undo = [&] {
    const absl::Status undone = cgroup->Remove(kUndoTimeout);
    static_cast<void>(undone);  // the first error is the one to tell
  };
  status = cgroup->Apply(resources, settings);
  if (!status.ok()) return status;
  std::move(undo).Cancel();
  return cgroup;
}

absl::StatusOr<std::unique_ptr<KernelCgroup>> KernelCgroup::Open(KernelCgroupOptions options) {
  std::unique_ptr<KernelCgroup> cgroup(new KernelCgroup(std::move(options)));
  const KernelCgroupOptions& from = cgroup->options_;
  const size_t depth = Components(from.path).size();
  CgroupPart unified{"", {}, from.layout->unified_mount, {}, {}, 0};
  absl::StatusOr<UniqueFd> directory = OpenCgroupDirectory({}, cgroup->PathOf(unified));
  if (absl::IsNotFound(directory.status())) {
    return MakeError(absl::StatusCode::kNotFound, "NO_CGROUP",
                     absl::StrCat("cgroup ", cgroup->PathOf(unified), " does not exist"));
  }
  if (!directory.ok()) return directory.status();
  unified.directory = std::move(*directory);
  // Who made the parents of a path of the caller's is not known any more: they stay.
  unified.kept_parents = from.foreign_parents < depth ? from.foreign_parents : depth - 1;
  cgroup->parts_.push_back(std::move(unified));
  for (const V1Hierarchy& hierarchy : from.layout->v1) {
    CgroupPart part{hierarchy.Label(),
                    hierarchy.controllers,
                    hierarchy.mount_point,
                    {},
                    {},
                    cgroup->parts_[0].kept_parents};
    directory = OpenCgroupDirectory({}, cgroup->PathOf(part));
    if (absl::IsNotFound(directory.status())) continue;
    if (!directory.ok()) return directory.status();
    part.directory = std::move(*directory);
    absl::StatusOr<UniqueFd> procs = OpenCgroupFile(part.directory, "cgroup.procs", O_WRONLY);
    if (!procs.ok()) return procs.status();
    part.procs = std::move(*procs);
    cgroup->parts_.push_back(std::move(part));
  }
  return cgroup;
}

absl::Status KernelCgroup::MakeUnified() {
  CgroupPart unified{"", {}, options_.layout->unified_mount, {}, {}, 0};
  struct stat unused = {};
  const bool leftover = ::stat(PathOf(unified).c_str(), &unused) == 0;
  if (leftover) {
    // From a life that ended before it could clean up; its limits must not become ours.
    absl::StatusOr<std::unique_ptr<KernelCgroup>> old = Open(options_);
    if (old.ok()) {
      const absl::StatusOr<bool> populated = (*old)->Populated();
      if (!populated.ok()) return populated.status();
      if (*populated) return BusyError(PathOf(unified));
      for (const CgroupPart& part : (*old)->parts_) {
        const absl::StatusOr<std::set<pid_t>> processes = ListCgroupProcesses(part.directory);
        if (!processes.ok()) return processes.status();
        if (!processes->empty()) return BusyError(PathOf(part));
      }
      const absl::Status removed = (*old)->Remove(kUndoTimeout);
      if (!removed.ok()) return removed;
    }
  }
  return MakePart(std::move(unified));
}

// A controller works in a cgroup when every cgroup above it hands it down.
absl::Status KernelCgroup::EnableControllers(const CgroupSettings& settings) {
  const std::set<std::string> needed = settings.UnifiedControllers();
  std::set<std::string> wanted = needed;
  for (const std::string& controller : options_.unified_accounting) {
    if (options_.layout->unified_controllers.contains(controller)) wanted.insert(controller);
  }
  if (wanted.empty()) return absl::OkStatus();
  const std::vector<std::string> components = Components(options_.path);
  std::string path = options_.layout->unified_mount;
  for (size_t depth = 0; depth < components.size(); ++depth) {
    const absl::StatusOr<UniqueFd> directory = OpenCgroupDirectory({}, path);
    if (!directory.ok()) return directory.status();
    const absl::StatusOr<std::string> enabled =
        ReadCgroupFile(*directory, "cgroup.subtree_control");
    if (!enabled.ok()) return enabled.status();
    const std::vector<std::string_view> already = SplitText(StripSpace(*enabled), ' ');
    for (const std::string& controller : wanted) {
      if (std::find(already.begin(), already.end(), controller) != already.end()) continue;
      const absl::Status written =
          WriteCgroupFile(*directory, "cgroup.subtree_control", absl::StrCat("+", controller));
      if (!written.ok() && needed.contains(controller)) {
        return Annotate(written,
                        absl::StrCat("enable the controller ", controller, " below ", path));
      }
    }
    absl::StrAppend(&path, "/", components[depth]);
  }
  return absl::OkStatus();
}

absl::Status KernelCgroup::MakeV1Parts(const CgroupSettings& settings) {
  std::set<std::string> controllers = settings.V1Controllers();
  for (const std::string& controller : options_.accounting) {
    if (options_.layout->FindV1(controller) != nullptr) controllers.insert(controller);
  }
  for (const std::string& controller : controllers) {
    if (FindV1Part(controller) != nullptr) continue;
    const V1Hierarchy& hierarchy = *options_.layout->FindV1(controller);
    const absl::Status made =
        MakePart({hierarchy.Label(), hierarchy.controllers, hierarchy.mount_point, {}, {}, 0});
    if (!made.ok()) return made;
  }
  return absl::OkStatus();
}

absl::Status KernelCgroup::MakePart(CgroupPart part) {
  absl::StatusOr<UniqueFd> directory = MakeDirectory(part);
  if (!directory.ok()) return directory.status();
  part.directory = std::move(*directory);
  if (!part.label.empty()) {
    absl::StatusOr<UniqueFd> procs = OpenCgroupFile(part.directory, "cgroup.procs", O_WRONLY);
    if (!procs.ok()) return procs.status();
    part.procs = std::move(*procs);
  }
  parts_.push_back(std::move(part));
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> KernelCgroup::MakeDirectory(CgroupPart& part) {
  const std::vector<std::string> components = Components(options_.path);
  const bool cpuset = std::find(part.controllers.begin(), part.controllers.end(), "cpuset") !=
                      part.controllers.end();
  // Another container's removal may take away a parent that was empty for a moment.
  constexpr int kAttempts = 100;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    absl::StatusOr<UniqueFd> current = OpenCgroupDirectory({}, part.mount_point);
    if (!current.ok()) return current;
    size_t kept = options_.foreign_parents;
    size_t depth = 0;
    for (; depth < components.size(); ++depth) {
      const bool made = ::mkdirat(current->get(), components[depth].c_str(), 0755) == 0;
      const int error = made ? 0 : errno;
      const bool leaf = depth + 1 == components.size();
      if (error == ENOENT || error == ENODEV) break;
      if (error != 0 && error != EEXIST) {
        return CgroupError("make", absl::StrCat(part.mount_point, "/", options_.path), error);
      }
      if (!made && leaf) {
        // A v1 leftover without its cgroup2 part; one with processes is not removed.
        const absl::Status removed = RemoveCgroupTree(*current, components[depth]);
        if (!removed.ok()) return BusyError(PathOf(part));
        break;
      }
      if (made && depth < kept) kept = depth;
      absl::StatusOr<UniqueFd> child = OpenCgroupDirectory(*current, components[depth]);
      if (absl::IsNotFound(child.status())) break;
      if (!child.ok()) return child;
      if (cpuset) {
        const absl::Status filled = FillCpuset(*current, *child);
        if (!filled.ok()) return filled;
      }
      current = std::move(child);
    }
    if (depth == components.size()) {
      part.kept_parents = std::min(kept, components.size() - 1);
      return current;
    }
  }
  return MakeError(absl::StatusCode::kUnavailable, "CGROUP_IO",
                   absl::StrCat("make ", PathOf(part), ": its parents keep going away"));
}

absl::Status KernelCgroup::Apply(const Resources& resources, const CgroupSettings& settings) {
  warnings_ = settings.notes;
  for (const UnenforcedLimit& limit : settings.unenforced) {
    warnings_.push_back(absl::StrCat(limit.pointer, " is not enforced: ", limit.why));
  }
  const size_t before = parts_.size();
  // Of an update that fails no empty directories stay, which a later one would take for joined.
  absl::Cleanup undo = [&] {
    while (parts_.size() > before && RemoveCgroupTree({}, PathOf(parts_.back())).ok()) {
      RemoveEmptyParents(parts_.back());
      parts_.pop_back();
    }
  };
  absl::Status status = EnableControllers(settings);
  if (!status.ok()) return status;
  status = MakeV1Parts(settings);
  if (!status.ok()) return status;
  status = WriteSettings(settings.settings);
  if (!status.ok()) return status;
  if (settings.device_program) {
    status = AttachDeviceProgram(unified_fd(), CompileDeviceProgram(*resources.devices));
    if (!status.ok()) return status;
  }
  for (size_t i = before; i < parts_.size(); ++i) {
    status = MoveProcessesTo(parts_[i]);
    if (!status.ok()) return status;
  }
  std::move(undo).Cancel();
  return absl::OkStatus();
}

// Until a pass finds nobody outside: processes fork while we look.
absl::Status KernelCgroup::MoveProcessesTo(const CgroupPart& part) {
  constexpr int kPasses = 100;
  for (int pass = 0; pass < kPasses; ++pass) {
    const absl::StatusOr<std::vector<pid_t>> all = Pids();
    if (!all.ok()) return all.status();
    if (all->empty()) return absl::OkStatus();
    const absl::StatusOr<std::set<pid_t>> inside = ListCgroupProcesses(part.directory);
    if (!inside.ok()) return inside.status();
    bool moved = false;
    for (const pid_t pid : *all) {
      if (inside->contains(pid)) continue;
      const absl::Status written =
          WriteCgroupFile(part.directory, "cgroup.procs", absl::StrCat(pid));
      // ESRCH, as kInternal: it ended meanwhile.
      if (!written.ok() && GetErrorMetadata(written)["errno"] != "ESRCH") return written;
      moved = written.ok() || moved;
    }
    if (!moved) return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kUnavailable, "CGROUP_IO",
                   absl::StrCat("move processes to ", PathOf(part), ": they fork too fast"));
}

absl::Status KernelCgroup::WriteSettings(const std::vector<CgroupSetting>& settings) {
  std::vector<const CgroupSetting*> again;
  for (const CgroupSetting& setting : settings) {
    const absl::Status written = WriteSetting(setting);
    if (written.ok()) continue;
    if (!MayDependOnLaterSetting(written)) return written;
    again.push_back(&setting);
  }
  for (const CgroupSetting* const setting : again) {
    const absl::Status written = WriteSetting(*setting);
    if (!written.ok()) return written;
  }
  return absl::OkStatus();
}

absl::Status KernelCgroup::WriteSetting(const CgroupSetting& setting) {
  const CgroupPart* const part = setting.unified ? &parts_[0] : FindV1Part(setting.controller);
  if (part == nullptr) return absl::InternalError(absl::StrCat("no part for ", setting.file));
  absl::Status written = WriteCgroupFile(part->directory, setting.file, setting.value);
  if (absl::IsNotFound(written) && !setting.fallback_file.empty()) {
    written = WriteCgroupFile(part->directory, setting.fallback_file, setting.fallback_value);
  }
  if (written.ok()) return written;
  if (IsObsolete(setting.file)) {
    warnings_.push_back(absl::StrCat(setting.pointer, ": deprecated, this kernel ignores it"));
    return absl::OkStatus();
  }
  if (absl::IsNotFound(written)) {
    const UnenforcedLimit limit = {
        setting.controller, setting.pointer,
        absl::StrCat("the controller ", setting.controller, " here has no ", setting.file)};
    if (!options_.allow_missing_controllers) return MissingError(limit);
    warnings_.push_back(absl::StrCat(limit.pointer, " is not enforced: ", limit.why));
    return absl::OkStatus();
  }
  ErrorMetadata metadata = GetErrorMetadata(written);
  metadata["pointer"] = setting.pointer;
  metadata["file"] = absl::StrCat(PathOf(*part), "/", setting.file);
  absl::Status refused = MakeError(
      written.code(), "RESOURCE_REFUSED",
      absl::StrCat(setting.pointer, ": ", absl::string_view(written.message())), metadata);
  AddFieldViolation(refused, setting.pointer, "was refused by the kernel");
  return refused;
}

absl::Status KernelCgroup::Update(const nlohmann::json& document) {
  const absl::StatusOr<Resources> resources = ParseResources(document);
  if (!resources.ok()) return resources.status();
  CgroupSettings settings;
  const absl::Status checked =
      Check(*options_.layout, options_.allow_missing_controllers, *resources, settings);
  if (!checked.ok()) return checked;
  const absl::Status fits = CheckMemoryBeforeUpdate(*resources);
  if (!fits.ok()) return fits;
  return Apply(*resources, settings);
}

// v2 would kill processes to get below a new limit; v1 refuses by itself.
absl::Status KernelCgroup::CheckMemoryBeforeUpdate(const Resources& resources) const {
  const std::optional<int64_t> limit = resources.memory.limit_bytes;
  if (!resources.memory.check_before_update || limit.value_or(-1) < 0) return absl::OkStatus();
  const absl::StatusOr<CgroupStats> stats = Stats();
  if (!stats.ok()) return stats.status();
  if (!stats->memory || stats->memory->usage_bytes <= static_cast<uint64_t>(*limit)) {
    return absl::OkStatus();
  }
  const std::string pointer = absl::StrCat(kResourcesPointer, "/memory/limit");
  return MakeError(absl::StatusCode::kFailedPrecondition, "RESOURCE_REFUSED",
                   absl::StrCat(pointer, ": ", *limit, " is below the usage of ",
                                stats->memory->usage_bytes, " bytes"),
                   {{"pointer", pointer}});
}

std::vector<BorrowedFd> KernelCgroup::v1_procs_fds() const {
  std::vector<BorrowedFd> fds;
  for (const CgroupPart& part : parts_) {
    if (part.procs.valid()) fds.push_back(part.procs);
  }
  return fds;
}

std::vector<CgroupPath> KernelCgroup::Paths() const {
  std::vector<CgroupPath> paths;
  for (const CgroupPart& part : parts_) paths.push_back({part.label, PathOf(part)});
  return paths;
}

absl::Status KernelCgroup::Freeze(absl::Duration timeout) {
  absl::Status written = WriteCgroupFile(unified_fd(), "cgroup.freeze", "1");
  if (!written.ok()) return written;
  const absl::StatusOr<bool> frozen =
      WaitForCgroupEvents(unified_fd(), Deadline(timeout), [](const CgroupEventValues& events) {
        const auto value = events.find("frozen");
        return value != events.end() && value->second == 1;
      });
  if (frozen.ok() && *frozen) return absl::OkStatus();
  const absl::Status thawed = WriteCgroupFile(unified_fd(), "cgroup.freeze", "0");
  static_cast<void>(thawed);  // the first error is the one to tell
  if (!frozen.ok()) return frozen.status();
  return MakeError(absl::StatusCode::kDeadlineExceeded, "CGROUP_TIMEOUT",
                   absl::StrCat("freeze ", PathOf(parts_[0]), ": processes did not stop within ",
                                absl::FormatDuration(timeout)));
}

absl::Status KernelCgroup::Thaw(absl::Duration timeout) {
  const absl::Status written = WriteCgroupFile(unified_fd(), "cgroup.freeze", "0");
  if (!written.ok()) return written;
  const absl::StatusOr<bool> thawed =
      WaitForCgroupEvents(unified_fd(), Deadline(timeout), [](const CgroupEventValues& events) {
        const auto value = events.find("frozen");
        return value != events.end() && value->second == 0;
      });
  if (!thawed.ok()) return thawed.status();
  if (*thawed) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kDeadlineExceeded, "CGROUP_TIMEOUT",
      absl::StrCat("thaw ", PathOf(parts_[0]), ": still frozen; a cgroup above it may be"));
}

absl::StatusOr<bool> KernelCgroup::Frozen() const {
  const absl::StatusOr<CgroupEventValues> events = ReadCgroupEvents(unified_fd());
  if (!events.ok()) return events.status();
  const auto frozen = events->find("frozen");
  return frozen != events->end() && frozen->second == 1;
}

absl::Status KernelCgroup::Kill() {
  const absl::Status killed = WriteCgroupFile(unified_fd(), "cgroup.kill", "1");
  return absl::IsNotFound(killed) ? absl::OkStatus() : killed;
}

absl::StatusOr<std::vector<pid_t>> KernelCgroup::Pids() const {
  const absl::StatusOr<std::set<pid_t>> pids = ListCgroupProcesses(unified_fd());
  if (!pids.ok()) return pids.status();
  return std::vector<pid_t>(pids->begin(), pids->end());
}

absl::StatusOr<bool> KernelCgroup::Populated() const {
  const absl::StatusOr<CgroupEventValues> events = ReadCgroupEvents(unified_fd());
  if (absl::IsNotFound(events.status())) return false;
  if (!events.ok()) return events.status();
  const auto populated = events->find("populated");
  return populated != events->end() && populated->second == 1;
}

absl::StatusOr<CgroupStats> KernelCgroup::Stats() const { return ReadCgroupStats(parts_); }

absl::StatusOr<uint64_t> KernelCgroup::OomKillCount() const { return ReadOomKills(parts_); }

UniqueFd KernelCgroup::OpenOomKillFile() const {
  absl::StatusOr<UniqueFd> file = OpenOomKills(parts_);
  return file.ok() ? *std::move(file) : UniqueFd();
}

absl::Status KernelCgroup::GiveTo(uid_t owner) {
  if (options_.layout->mode() != CgroupMode::kUnified) return absl::OkStatus();
  constexpr gid_t kKeepGroup = static_cast<gid_t>(-1);
  // The kernel lists what may be handed down; kernels differ, and a cgroup may lack some.
  const absl::StatusOr<UniqueFd> kernel = OpenCgroupDirectory({}, "/sys/kernel/cgroup");
  const absl::StatusOr<std::string> listed =
      kernel.ok() ? ReadCgroupFile(*kernel, "delegate") : kernel.status();
  const std::string files =
      listed.ok() ? *listed : "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";
  for (const std::string_view file : SplitText(files, '\n')) {
    const std::string name(file);
    if (::fchownat(unified_fd().get(), name.c_str(), owner, kKeepGroup, AT_SYMLINK_NOFOLLOW) != 0 &&
        errno != ENOENT) {
      return CgroupError("give away", absl::StrCat(PathOf(parts_[0]), "/", name), errno);
    }
  }
  if (::fchown(unified_fd().get(), owner, kKeepGroup) == 0) return absl::OkStatus();
  return CgroupError("give away", PathOf(parts_[0]), errno);
}

absl::Status KernelCgroup::Remove(absl::Duration timeout) {
  const Deadline deadline(timeout);
  const absl::StatusOr<bool> populated = Populated();
  if (!populated.ok()) return populated.status();
  if (*populated) {
    const absl::Status killed = Kill();
    if (!killed.ok()) return killed;
    const absl::StatusOr<bool> empty =
        WaitForCgroupEvents(unified_fd(), deadline, [](const CgroupEventValues& events) {
          const auto value = events.find("populated");
          return value != events.end() && value->second == 0;
        });
    if (empty.ok() && !*empty) return StillPopulated();
    if (!empty.ok() && !absl::IsNotFound(empty.status())) return empty.status();
  }
  // cgroup2 last: while it is there, Open finds the container and Remove can be tried again.
  for (auto part = parts_.rbegin(); part != parts_.rend(); ++part) {
    const absl::Status removed = RemovePart(*part, deadline);
    if (!removed.ok()) return removed;
  }
  return absl::OkStatus();
}

absl::Status KernelCgroup::RemovePart(const CgroupPart& part, const Deadline& deadline) {
  const std::string leaf = PathOf(part);
  absl::Status removed = RemoveCgroupTree({}, leaf);
  while (absl::IsFailedPrecondition(removed)) {
    // Who is here and not in cgroup2 was moved by somebody: it goes with the cgroup all the same.
    const absl::StatusOr<bool> ended = KillCgroupProcesses(part.directory, deadline);
    if (!ended.ok() && !absl::IsNotFound(ended.status())) return ended.status();
    removed = RemoveCgroupTree({}, leaf);
    if (!absl::IsFailedPrecondition(removed)) break;
    if (deadline.Passed()) return StillPopulated();
    // The last process has ended and its exit is not through with the cgroup: no event tells when.
    ::poll(nullptr, 0, 1);
  }
  if (!removed.ok()) return removed;
  RemoveEmptyParents(part);
  return absl::OkStatus();
}

void KernelCgroup::RemoveEmptyParents(const CgroupPart& part) const {
  std::string parent = PathOf(part);
  for (size_t depth = Components(options_.path).size() - 1; depth > part.kept_parents; --depth) {
    parent.resize(parent.rfind('/'));
    if (::unlinkat(AT_FDCWD, parent.c_str(), AT_REMOVEDIR) != 0) break;  // others are in there
  }
}

absl::Status KernelCgroup::StillPopulated() const {
  std::set<pid_t> left;
  for (const CgroupPart& part : parts_) {
    const absl::StatusOr<std::set<pid_t>> pids = ListCgroupProcesses(part.directory);
    if (pids.ok()) left.insert(pids->begin(), pids->end());
  }
  const std::string pids = absl::StrJoin(left, " ");
  return MakeError(absl::StatusCode::kDeadlineExceeded, "CGROUP_TIMEOUT",
                   absl::StrCat("remove ", PathOf(parts_[0]), ": processes would not die: ", pids),
                   {{"pids", pids}});
}

const CgroupPart* KernelCgroup::FindV1Part(std::string_view controller) const {
  for (const CgroupPart& part : parts_) {
    for (const std::string& candidate : part.controllers) {
      if (candidate == controller) return &part;
    }
  }
  return nullptr;
}

std::string KernelCgroup::PathOf(const CgroupPart& part) const {
  return absl::StrCat(part.mount_point, "/", options_.path);
}

}  // namespace ocid
