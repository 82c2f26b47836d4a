// CdiRegistry: the CDI devices that the files of this host define now.
//
// Reads the direct children *.json and *.yaml of its directories; a missing directory is empty, a
// symlink is followed, what is no regular file is skipped. A bad file costs only its own devices;
// the errors are kept by file. A device that several files define comes from the directory of the
// highest priority (the last one). Two files of one priority that define the same device conflict:
// nobody gets it. As in the reference, that holds even if a higher directory defines it once more.
//
// Refresh looks at the file system: it lists the directories and stats each file, and reads again
// only what has another inode, size, mtime or ctime than before. That is a few microseconds a file,
// never misses a file that was moved or linked in, and needs no descriptors; call it before each
// use. A file that changed within the last moments is read again next time, because its timestamps
// would not tell another change at once from this one.
//
// Thread-safe. Refresh blocks on the file system; everything else only takes a snapshot.
// Source: CDI SPEC.md 1.1, pkg/cdi/cache.go of the reference.
#ifndef OCID_DAEMON_CDI_CDI_REGISTRY_H_
#define OCID_DAEMON_CDI_CDI_REGISTRY_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/cdi/cdi_spec.h"
#include "runtime/base/mutex.h"

namespace ocid {

inline constexpr std::string_view kCdiStaticDir = "/etc/cdi";
inline constexpr std::string_view kCdiDynamicDir = "/var/run/cdi";

// One file, as it was read. Immutable.
struct CdiFile {
  std::string path;
  size_t priority = 0;  // index of its directory
  std::string sha256;   // "sha256:<hex>"; empty if it could not be read
  absl::Time modify_time;
  absl::StatusOr<CdiSpec> spec;
};

struct CdiDeviceEntry {
  std::shared_ptr<const CdiFile> file;  // its spec is OK
  size_t index = 0;                     // into spec->devices

  const CdiSpec& spec() const { return *file->spec; }
  const CdiDevice& device() const { return file->spec->devices[index]; }
};

struct CdiFileError {
  std::string path;  // of a file or a directory
  std::string message;
  std::vector<std::string> devices;  // qualified names that it costs, where that is known

  friend bool operator==(const CdiFileError&, const CdiFileError&) = default;
};

// What one Refresh found. Immutable.
struct CdiSnapshot {
  std::vector<std::shared_ptr<const CdiFile>> files;
  std::map<std::string, CdiDeviceEntry> devices;              // by qualified name
  std::map<std::string, std::vector<std::string>> conflicts;  // by qualified name: the files
  std::vector<CdiFileError> errors;

  // NOT_FOUND, with the reason: an invalid name, an unknown vendor, class or device, a conflict and
  // its files, and the files that could not be read, which might have had it.
  absl::StatusOr<CdiDeviceEntry> Find(std::string_view qualified_name) const;
};

class CdiRegistry {
 public:
  // In the order of rising priority.
  explicit CdiRegistry(std::vector<std::string> directories);
  CdiRegistry();  // kCdiStaticDir, kCdiDynamicDir
  ~CdiRegistry();
  CdiRegistry(const CdiRegistry&) = delete;
  CdiRegistry& operator=(const CdiRegistry&) = delete;

  // Brings the registry to what the file system says, and returns that. Errors of files are in it.
  std::shared_ptr<const CdiSnapshot> Refresh();

  // What the last Refresh found; empty before the first.
  std::shared_ptr<const CdiSnapshot> Snapshot() const;

  const std::vector<std::string>& directories() const { return directories_; }
  // Calls of Refresh since the registry was made, and what they took together.
  struct Refreshes {
    uint64_t count = 0;
    absl::Duration total;
  };
  Refreshes refreshes() const;
  // How many files were read since the registry was made.
  uint64_t files_read() const;

 private:
  struct FileStamp;
  struct CachedFile;

  std::shared_ptr<const CdiFile> Load(const std::string& path, size_t priority,
                                      absl::Time modify_time)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(refresh_mutex_);
  void ScanDirectory(size_t priority, std::map<std::string, CachedFile>& found,
                     std::vector<CdiFileError>& errors)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(refresh_mutex_);

  std::shared_ptr<const CdiSnapshot> RefreshNow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(refresh_mutex_);
  std::shared_ptr<const CdiSnapshot> BuildSnapshot() ABSL_EXCLUSIVE_LOCKS_REQUIRED(refresh_mutex_);

  const std::vector<std::string> directories_;
  // Held while files are read: concurrent refreshes wait for each other, readers for nobody.
  Mutex refresh_mutex_;
  std::map<std::string, CachedFile> cache_ ABSL_GUARDED_BY(refresh_mutex_);
  std::vector<CdiFileError> scan_errors_ ABSL_GUARDED_BY(refresh_mutex_);
  bool refreshed_ ABSL_GUARDED_BY(refresh_mutex_) = false;

  mutable Mutex mutex_;
  std::shared_ptr<const CdiSnapshot> snapshot_ ABSL_GUARDED_BY(mutex_);
  uint64_t files_read_ ABSL_GUARDED_BY(mutex_) = 0;
  Refreshes refreshes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_CDI_CDI_REGISTRY_H_
