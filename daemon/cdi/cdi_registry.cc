#include "daemon/cdi/cdi_registry.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "daemon/cdi/cdi_name.h"
#include "runtime/base/unique_fd.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

constexpr size_t kLargestFileBytes = size_t{4} << 20;
// Timestamps of files advance with the kernel's tick, 4 ms where it is slowest, and some file
// systems keep less: within this time after a change another one can have the same stamp.
constexpr absl::Duration kStampGranularity = absl::Milliseconds(50);

absl::Status ErrnoStatus(std::string_view what) {
  const int error = errno;
  return absl::UnavailableError(
      absl::StrCat(absl::string_view(what.data(), what.size()), ": ", std::strerror(error)));
}

absl::StatusOr<std::string> ReadAll(BorrowedFd fd) {
  std::string bytes;
  char chunk[65536];
  while (true) {
    const ssize_t n = ::read(fd.get(), chunk, sizeof(chunk));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("read");
    if (n == 0) return bytes;
    bytes.append(chunk, static_cast<size_t>(n));
    if (bytes.size() > kLargestFileBytes) {
      return absl::InvalidArgumentError(absl::StrCat("larger than ", kLargestFileBytes, " bytes"));
    }
  }
}

bool IsSpecName(std::string_view name) {
  return name.ends_with(".json") || name.ends_with(".yaml");
}

std::string Qualified(const CdiSpec& spec, const CdiDevice& device) {
  return absl::StrCat(spec.Kind(), "=", device.name);
}

}  // namespace

struct CdiRegistry::FileStamp {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  timespec modified = {};
  timespec changed = {};

  static FileStamp Of(const struct stat& stat) {
    return {stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtim, stat.st_ctim};
  }
  friend bool operator==(const FileStamp& a, const FileStamp& b) {
    return a.device == b.device && a.inode == b.inode && a.size == b.size &&
           a.modified.tv_sec == b.modified.tv_sec && a.modified.tv_nsec == b.modified.tv_nsec &&
           a.changed.tv_sec == b.changed.tv_sec && a.changed.tv_nsec == b.changed.tv_nsec;
  }
};

struct CdiRegistry::CachedFile {
  FileStamp stamp;
  bool settled = false;  // the stamp tells any later change
  std::shared_ptr<const CdiFile> file;
};

CdiRegistry::CdiRegistry(std::vector<std::string> directories)
    : directories_(std::move(directories)), snapshot_(std::make_shared<CdiSnapshot>()) {}

CdiRegistry::CdiRegistry()
    : CdiRegistry(
          std::vector<std::string>{std::string(kCdiStaticDir), std::string(kCdiDynamicDir)}) {}

CdiRegistry::~CdiRegistry() = default;

std::shared_ptr<const CdiFile> CdiRegistry::Load(const std::string& path, size_t priority,
                                                 absl::Time modify_time) {
  auto file = std::make_shared<CdiFile>();
  file->path = path;
  file->priority = priority;
  file->modify_time = modify_time;
  // O_NONBLOCK: somebody may have put a FIFO here meanwhile.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) {
    file->spec = ErrnoStatus("open");
    return file;
  }
  const absl::StatusOr<std::string> text = ReadAll(fd);
  if (!text.ok()) {
    file->spec = text.status();
    return file;
  }
  {
    MutexLock lock(mutex_);
    ++files_read_;
  }
  file->sha256 = Sha256Digest(*text);
  file->spec = ParseCdiSpec(*text);
  return file;
}

void CdiRegistry::ScanDirectory(size_t priority, std::map<std::string, CachedFile>& found,
                                std::vector<CdiFileError>& errors) {
  const std::string& directory = directories_[priority];
  DIR* const stream = ::opendir(directory.c_str());
  if (stream == nullptr) {
    if (errno != ENOENT) {
      errors.push_back({directory, std::string(ErrnoStatus("open the directory").message()), {}});
    }
    return;
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream)) {
    if (IsSpecName(entry->d_name)) names.emplace_back(entry->d_name);
  }
  ::closedir(stream);
  std::sort(names.begin(), names.end());

  for (const std::string& name : names) {
    const std::string path = absl::StrCat(directory, "/", name);
    struct stat stat = {};
    if (::stat(path.c_str(), &stat) != 0) {
      // Gone since the listing, or a symlink to nowhere.
      if (errno != ENOENT || ::lstat(path.c_str(), &stat) == 0) {
        errors.push_back({path, std::string(ErrnoStatus("stat").message()), {}});
      }
      continue;
    }
    if (!S_ISREG(stat.st_mode)) continue;
    const FileStamp stamp = FileStamp::Of(stat);
    const auto cached = cache_.find(path);
    if (cached != cache_.end() && cached->second.settled && cached->second.stamp == stamp &&
        cached->second.file->priority == priority) {
      found[path] = cached->second;
      continue;
    }
    const absl::Time changed = absl::TimeFromTimespec(stat.st_ctim);
    const bool settled = absl::Now() - changed > kStampGranularity;
    found[path] = {stamp, settled, Load(path, priority, absl::TimeFromTimespec(stat.st_mtim))};
  }
}

std::shared_ptr<const CdiSnapshot> CdiRegistry::Refresh() {
  MutexLock refresh_lock(refresh_mutex_);
  const absl::Time begin = absl::Now();
  std::shared_ptr<const CdiSnapshot> snapshot = RefreshNow();
  MutexLock lock(mutex_);
  ++refreshes_.count;
  refreshes_.total += absl::Now() - begin;
  return snapshot;
}

std::shared_ptr<const CdiSnapshot> CdiRegistry::RefreshNow() {
  std::vector<CdiFileError> errors;
  std::map<std::string, CachedFile> found;
  for (size_t priority = 0; priority < directories_.size(); ++priority) {
    ScanDirectory(priority, found, errors);
  }
  const bool unchanged = refreshed_ && errors == scan_errors_ &&
                         std::equal(found.begin(), found.end(), cache_.begin(), cache_.end(),
                                    [](const auto& a, const auto& b) {
                                      return a.first == b.first && a.second.file == b.second.file;
                                    });
  cache_ = std::move(found);
  if (unchanged) return Snapshot();
  scan_errors_ = std::move(errors);
  refreshed_ = true;
  std::shared_ptr<const CdiSnapshot> snapshot = BuildSnapshot();
  MutexLock lock(mutex_);
  snapshot_ = snapshot;
  return snapshot;
}

std::shared_ptr<const CdiSnapshot> CdiRegistry::BuildSnapshot() {
  auto snapshot = std::make_shared<CdiSnapshot>();
  snapshot->errors = scan_errors_;
  for (const auto& [path, cached] : cache_) {
    const std::shared_ptr<const CdiFile>& file = cached.file;
    snapshot->files.push_back(file);
    if (!file->spec.ok()) {
      snapshot->errors.push_back({path, std::string(file->spec.status().message()), {}});
      continue;
    }
    for (size_t i = 0; i < file->spec->devices.size(); ++i) {
      std::string name = Qualified(*file->spec, file->spec->devices[i]);
      const auto [it, added] = snapshot->devices.try_emplace(name, CdiDeviceEntry{file, i});
      if (added) continue;
      CdiDeviceEntry& other = it->second;
      if (file->priority > other.file->priority) {
        other = {file, i};
      } else if (file->priority == other.file->priority) {
        std::vector<std::string>& files = snapshot->conflicts[name];
        if (files.empty()) files.push_back(other.file->path);
        files.push_back(path);
      }
    }
  }
  std::map<std::string, std::vector<std::string>> lost;  // by file
  for (const auto& [name, files] : snapshot->conflicts) {
    snapshot->devices.erase(name);
    for (const std::string& file : files) lost[file].push_back(name);
  }
  for (auto& [file, names] : lost) {
    snapshot->errors.push_back(
        {file, "defines devices that another file of the same priority defines", names});
  }
  return snapshot;
}

std::shared_ptr<const CdiSnapshot> CdiRegistry::Snapshot() const {
  MutexLock lock(mutex_);
  return snapshot_;
}

CdiRegistry::Refreshes CdiRegistry::refreshes() const {
  MutexLock lock(mutex_);
  return refreshes_;
}

uint64_t CdiRegistry::files_read() const {
  MutexLock lock(mutex_);
  return files_read_;
}

absl::StatusOr<CdiDeviceEntry> CdiSnapshot::Find(std::string_view qualified_name) const {
  const absl::StatusOr<CdiName> name = ParseCdiName(qualified_name);
  if (!name.ok()) return name.status();
  const std::string qualified(qualified_name);
  if (const auto it = devices.find(qualified); it != devices.end()) return it->second;
  if (const auto it = conflicts.find(qualified); it != conflicts.end()) {
    return absl::NotFoundError(
        absl::StrCat("conflict: defined by each of ", absl::StrJoin(it->second, ", ")));
  }

  bool vendor_known = false;
  bool kind_known = false;
  for (const std::shared_ptr<const CdiFile>& file : files) {
    if (!file->spec.ok() || file->spec->vendor != name->vendor) continue;
    vendor_known = true;
    kind_known = kind_known || file->spec->device_class == name->device_class;
  }
  std::string reason = !vendor_known ? absl::StrCat("unknown vendor ", name->vendor)
                       : !kind_known ? absl::StrCat("unknown class ", name->Kind())
                                     : absl::StrCat("no such device of ", name->Kind());
  std::string unread;
  for (const CdiFileError& error : errors) {
    if (!error.devices.empty()) continue;
    absl::StrAppend(&unread, unread.empty() ? "" : "; ", error.path, ": ", error.message);
  }
  if (!unread.empty()) absl::StrAppend(&reason, " (files with errors: ", unread, ")");
  return absl::NotFoundError(reason);
}

}  // namespace ocid
