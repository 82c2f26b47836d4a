// ProcessDirectory: one process as /proc shows it, held by a descriptor.
//
// The descriptor names the process and not its number: once it has ended every read fails, whatever
// other process gets its pid. Reads are bounded. Thread-compatible.
// Source: proc(5).
#ifndef OCID_DAEMON_SPEC_DRIFT_PROCESS_DIRECTORY_H_
#define OCID_DAEMON_SPEC_DRIFT_PROCESS_DIRECTORY_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class ProcessDirectory {
 public:
  // NOT_FOUND if there is no such process. `start_time`: field 22 of proc_pid_stat(5), 0 for any.
  static absl::StatusOr<ProcessDirectory> Open(pid_t pid, uint64_t start_time);

  pid_t pid() const { return pid_; }
  // "/proc/4711/status": for messages.
  std::string PathOf(std::string_view name) const;
  bool ended() const;

  // RESOURCE_EXHAUSTED for a file of more than `max_bytes`.
  absl::StatusOr<std::string> Read(const std::string& name, size_t max_bytes = 1 << 20) const;
  absl::StatusOr<UniqueFd> OpenFile(const std::string& name, int flags) const;
  absl::StatusOr<std::string> ReadLink(const std::string& name) const;

 private:
  ProcessDirectory(pid_t pid, UniqueFd directory) : pid_(pid), directory_(std::move(directory)) {}

  pid_t pid_;
  UniqueFd directory_;
};

// Reads to the end. UNAVAILABLE with errno's text, RESOURCE_EXHAUSTED beyond `max_bytes`.
absl::StatusOr<std::string> ReadBounded(BorrowedFd file, size_t max_bytes);

// The rest of the line "name:" of a file such as /proc/PID/status, without white space around it.
std::optional<std::string_view> StatusField(std::string_view text, std::string_view name);

}  // namespace ocid

#endif  // OCID_DAEMON_SPEC_DRIFT_PROCESS_DIRECTORY_H_
