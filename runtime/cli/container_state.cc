#include "runtime/cli/container_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

constexpr size_t kMaxIdBytes = 1024;
constexpr size_t kMaxFileBytes = size_t{32} << 20;
constexpr char kGate[] = "gate";
constexpr char kRecord[] = "state.json";
constexpr char kIntent[] = "intent.json";

absl::Status MakeDirectories(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) == 0) return absl::OkStatus();
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    const mode_t mode = slash == std::string::npos ? 0700 : 0755;
    if (mkdir(part.c_str(), mode) != 0 && errno != EEXIST) {
      return absl::ErrnoToStatus(errno, absl::StrCat("make directory ", part));
    }
    if (slash == std::string::npos) return absl::OkStatus();
  }
}

absl::StatusOr<std::string> ReadAll(int fd, const std::string& name) {
  struct stat info = {};
  if (fstat(fd, &info) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("stat ", name));
  if (static_cast<size_t>(info.st_size) > kMaxFileBytes) {
    return MakeError(absl::StatusCode::kDataLoss, "STATE_CORRUPT",
                     absl::StrCat(name, ": larger than anything that was written"));
  }
  std::string text(static_cast<size_t>(info.st_size), '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t size = read(fd, text.data() + done, text.size() - done);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return absl::ErrnoToStatus(errno, absl::StrCat("read ", name));
    if (size == 0) break;
    done += static_cast<size_t>(size);
  }
  text.resize(done);
  return text;
}

absl::Status Corrupt(std::string_view what) {
  return MakeError(absl::StatusCode::kDataLoss, "STATE_CORRUPT",
                   absl::StrCat("state.json: ", absl::string_view(what.data(), what.size())));
}

}  // namespace

nlohmann::json ContainerRecord::ToJson() const {
  return {{"id", id},
          {"ociVersion", oci_version},
          {"bundle", bundle},
          {"rootfs", rootfs},
          {"created", created},
          {"owner", owner},
          {"cgroupManager", cgroup_manager},
          {"cgroupsPath", cgroups_path},
          {"annotations", annotations},
          {"pid", pid},
          {"startTime", start_time},
          {"sharesMounts", shares_mounts},
          {"sharesPids", shares_pids},
          {"joinedResctrl", joined_resctrl}};
}

absl::StatusOr<ContainerRecord> ContainerRecord::FromJson(const nlohmann::json& json) {
  if (!json.is_object()) return Corrupt("not an object");
  bool complete = true;
  const auto text = [&](const char* name) {
    const auto found = json.find(name);
    complete = complete && found != json.end() && found->is_string();
    return complete ? found->get<std::string>() : std::string();
  };
  const auto number = [&](const char* name) {
    const auto found = json.find(name);
    complete = complete && found != json.end() && found->is_number_unsigned();
    return complete ? found->get<uint64_t>() : 0;
  };
  ContainerRecord record;
  record.id = text("id");
  record.oci_version = text("ociVersion");
  record.bundle = text("bundle");
  record.rootfs = text("rootfs");
  record.created = text("created");
  record.owner = text("owner");
  record.cgroup_manager = text("cgroupManager");
  record.cgroups_path = text("cgroupsPath");
  record.pid = static_cast<pid_t>(number("pid"));
  record.start_time = number("startTime");
  if (!complete) return Corrupt("a member is missing or of another type");
  record.shares_mounts = json.value("sharesMounts", false);
  record.shares_pids = json.value("sharesPids", false);
  record.joined_resctrl = json.value("joinedResctrl", false);
  const auto annotations = json.find("annotations");
  if (annotations != json.end() && annotations->is_object()) {
    for (const auto& [name, value] : annotations->items()) {
      if (value.is_string()) record.annotations[name] = value.get<std::string>();
    }
  }
  return record;
}

std::string_view ContainerStatusName(ContainerStatus status) {
  switch (status) {
    case ContainerStatus::kCreating:
      return "creating";
    case ContainerStatus::kCreated:
      return "created";
    case ContainerStatus::kRunning:
      return "running";
    case ContainerStatus::kPaused:
      return "paused";
    case ContainerStatus::kStopped:
      return "stopped";
  }
  return "unknown";
}

bool IsContainerId(std::string_view id) {
  if (id.empty() || id.size() > kMaxIdBytes || id == "." || id == "..") return false;
  return std::all_of(id.begin(), id.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '+' || c == '-' || c == '.';
  });
}

uint64_t ProcessStartTime(pid_t pid) {
  if (pid <= 0) return 0;
  const UniqueFd file(open(absl::StrCat("/proc/", pid, "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return 0;
  char text[1024];
  const ssize_t size = read(file.get(), text, sizeof(text) - 1);
  if (size <= 0) return 0;
  text[size] = '\0';
  // The name may hold anything, spaces and parentheses too: count from its last ')'.
  const char* field = strrchr(text, ')');
  if (field == nullptr || field[1] == '\0') return 0;
  const char state = field[2];
  if (state == 'Z' || state == 'X') return 0;
  constexpr int kStartTimeAfterName = 20;  // field 22 of proc(5), the name being 2
  for (int i = 0; i < kStartTimeAfterName && field != nullptr; ++i) field = strchr(field + 1, ' ');
  return field == nullptr ? 0 : strtoull(field + 1, nullptr, 10);
}

absl::StatusOr<StateDirectory> StateDirectory::Create(const std::string& root,
                                                      const std::string& id) {
  if (!IsContainerId(id)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "ID_INVALID",
                     absl::StrCat("invalid container ID format: \"", id, "\""));
  }
  const absl::Status made = MakeDirectories(root);
  if (!made.ok()) return made;
  const std::string path = absl::StrCat(root, "/", id);
  if (mkdir(path.c_str(), 0700) != 0) {
    if (errno == EEXIST) {
      return MakeError(absl::StatusCode::kAlreadyExists, "CONTAINER_EXISTS",
                       absl::StrCat("container with given ID already exists: ", id));
    }
    return absl::ErrnoToStatus(errno, absl::StrCat("make directory ", path));
  }
  absl::StatusOr<StateDirectory> state = Open(root, id);
  if (!state.ok()) return state;
  const absl::Status locked = state->Lock();
  if (!locked.ok()) return locked;
  return state;
}

absl::StatusOr<StateDirectory> StateDirectory::Open(const std::string& root,
                                                    const std::string& id) {
  if (!IsContainerId(id)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "ID_INVALID",
                     absl::StrCat("invalid container ID format: \"", id, "\""));
  }
  std::string path = absl::StrCat(root, "/", id);
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.valid()) return StateDirectory(std::move(path), std::move(fd));
  if (errno == ENOENT) {
    return MakeError(absl::StatusCode::kNotFound, "CONTAINER_NOT_FOUND",
                     absl::StrCat("container \"", id, "\" does not exist"));
  }
  return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
}

absl::StatusOr<std::vector<std::string>> StateDirectory::List(const std::string& root) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(root.c_str()), &closedir);
  if (directory == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("open ", root));
  std::vector<std::string> ids;
  while (const dirent* const entry = readdir(directory.get())) {
    if (entry->d_type == DT_DIR && IsContainerId(entry->d_name)) ids.emplace_back(entry->d_name);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::string StateDirectory::GatePath() const {
  return absl::StrCat("/proc/self/fd/", fd_.get(), "/", kGate);
}

bool StateDirectory::HasGate() const { return faccessat(fd_.get(), kGate, F_OK, 0) == 0; }

void StateDirectory::RemoveGate() const { unlinkat(fd_.get(), kGate, 0); }

absl::Status StateDirectory::Lock() {
  if (locked_) return absl::OkStatus();
  while (flock(fd_.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return absl::ErrnoToStatus(errno, absl::StrCat("lock ", path_));
  }
  locked_ = true;
  return absl::OkStatus();
}

void StateDirectory::Unlock() {
  flock(fd_.get(), LOCK_UN);
  locked_ = false;
}

absl::StatusOr<std::string> StateDirectory::ReadFile(const char* name) const {
  const UniqueFd file(openat(fd_.get(), name, O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path_, "/", name));
  return ReadAll(file.get(), absl::StrCat(path_, "/", name));
}

absl::Status StateDirectory::WriteFile(const char* name, std::string_view bytes) const {
  const std::string temporary = absl::StrCat(".", name);
  const UniqueFd file(
      openat(fd_.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const auto failed = [&](const char* what) {
    return absl::ErrnoToStatus(errno, absl::StrCat(what, " ", path_, "/", name));
  };
  if (!file.valid()) return failed("create");
  while (!bytes.empty()) {
    const ssize_t size = write(file.get(), bytes.data(), bytes.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return failed("write");
    bytes.remove_prefix(static_cast<size_t>(size));
  }
  // No sync: after a power failure there is no container either.
  if (renameat(fd_.get(), temporary.c_str(), fd_.get(), name) != 0) return failed("replace");
  return absl::OkStatus();
}

absl::StatusOr<ContainerRecord> StateDirectory::ReadRecord() const {
  absl::StatusOr<std::string> text = ReadFile(kRecord);
  if (absl::IsNotFound(text.status())) text = ReadFile(kIntent);
  if (!text.ok()) return text.status();
  const absl::StatusOr<nlohmann::json> json = ParseJson(*text);
  if (!json.ok()) return Annotate(json.status(), kRecord);
  return ContainerRecord::FromJson(*json);
}

// The intent has a name of its own: a rename onto an existing file makes ext4 write the data out
// before it goes on (auto_da_alloc), some milliseconds for a file that need not survive anything.
absl::Status StateDirectory::WriteRecord(const ContainerRecord& record) const {
  const bool launched = record.pid != 0;
  const absl::Status written =
      WriteFile(launched ? kRecord : kIntent, CanonicalJson(record.ToJson()));
  if (written.ok() && launched) unlinkat(fd_.get(), kIntent, 0);
  return written;
}

absl::StatusOr<OciSpec> StateDirectory::ReadSpec() const {
  const absl::StatusOr<std::string> text = ReadFile("config.json");
  if (!text.ok()) return text.status();
  return OciSpec::Parse(*text);
}

absl::Status StateDirectory::WriteSpec(const OciSpec& spec) const {
  return WriteFile("config.json", spec.Canonical());
}

absl::StatusOr<LaunchPlan> StateDirectory::ReadPlan() const {
  const absl::StatusOr<std::string> bytes = ReadFile("plan");
  if (!bytes.ok()) return bytes.status();
  return LaunchPlan::Parse(*bytes);
}

absl::Status StateDirectory::WritePlan(const LaunchPlan& plan) const {
  return WriteFile("plan", plan.bytes());
}

ContainerStatus StateDirectory::StatusOf(const ContainerRecord& record) const {
  if (record.pid == 0) {
    // Its creator holds the lock for as long as it lives.
    if (locked_) return ContainerStatus::kStopped;
    if (flock(fd_.get(), LOCK_SH | LOCK_NB) != 0) return ContainerStatus::kCreating;
    flock(fd_.get(), LOCK_UN);
    return ContainerStatus::kStopped;
  }
  if (ProcessStartTime(record.pid) != record.start_time || record.start_time == 0) {
    return ContainerStatus::kStopped;
  }
  return HasGate() ? ContainerStatus::kCreated : ContainerStatus::kRunning;
}

absl::Status StateDirectory::Remove() const {
  for (const char* name : {kGate, "plan", "config.json", kRecord, kIntent}) {
    unlinkat(fd_.get(), name, 0);
  }
  if (rmdir(path_.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  unlinkat(fd_.get(), "notify/notify", 0);
  unlinkat(fd_.get(), "notify", AT_REMOVEDIR);
  // Halves of files, by a command that was killed.
  for (const char* name : {".plan", ".config.json", ".state.json", ".intent.json"}) {
    unlinkat(fd_.get(), name, 0);
  }
  if (rmdir(path_.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("remove ", path_));
}

}  // namespace ocid
