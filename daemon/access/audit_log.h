// AuditLog: who changed what, and who was not let.
//
// One JSON object a line, in a file that is rotated by size: `audit.log`, `audit.log.1` (older), ... Each
// line is one write(2) of whole lines to a file opened with O_APPEND (mode 0600), before the call's
// answer is sent. It is not synced: it outlives the daemon, and but for the last seconds a loss of power.
//
// A disk that takes no more stops nothing: the line is lost, counted (lost()), and the daemon's log says
// so once, and again when lines are taken again. The next line that is written then is one that names how
// many are missing.
//
//   {"time":"2026-01-02T03:04:05.678901Z","who":"cn:ci","role":"operator","peer":"ipv4:10.0.0.7:4711",
//    "method":"ocid.v1.ContainerService/Kill","container":"web","request_sha256":"...","request_id":"...",
//    "trace_id":"...","code":"PERMISSION_DENIED","reason":"NOT_OWNER","duration_us":41}
//
// Thread-safe. Write blocks as long as write(2) to a file does.
#ifndef OCID_DAEMON_ACCESS_AUDIT_LOG_H_
#define OCID_DAEMON_ACCESS_AUDIT_LOG_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

struct AuditLogOptions {
  std::string path;
  uint64_t max_bytes = 64 << 20;  // of one file
  int max_files = 8;              // this one included
};

struct AuditRecord {
  absl::Time time;
  absl::Duration duration;
  // In this order; an empty value is left out.
  std::vector<std::pair<std::string_view, std::string>> fields;
};

class AuditLog {
 public:
  // Makes the file and its folder (0700) where they are missing.
  static absl::StatusOr<std::unique_ptr<AuditLog>> Open(AuditLogOptions options);

  void Write(const AuditRecord& record);

  // Lines, since Open.
  uint64_t written() const;
  uint64_t lost() const;

 private:
  explicit AuditLog(AuditLogOptions options) : options_(std::move(options)) {}

  absl::Status OpenFile() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Rotate() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Append(const std::string& line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const AuditLogOptions options_;
  mutable Mutex mutex_;
  UniqueFd file_ ABSL_GUARDED_BY(mutex_);
  uint64_t size_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t written_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t lost_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t lost_untold_ ABSL_GUARDED_BY(mutex_) = 0;  // in the file: since the last line in it
};

}  // namespace ocid

#endif  // OCID_DAEMON_ACCESS_AUDIT_LOG_H_
