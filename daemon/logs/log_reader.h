// LogReader: reads a container's log files, from the oldest to the newest and on as they grow.
//
// The files are `log` and, older by the number, `log.1`, `log.2`, ...; the supervisor appends whole
// records to `log` and rotates by renaming (runtime/supervisor/log_writer.h). The reader follows a
// file by its descriptor, so that a rotation in the middle of reading loses and repeats nothing;
// when a file has been rotated out before it could be read, reading goes on with the oldest there
// is.
//
// Only records with their newline are read: an incomplete last line is left for later, because the
// supervisor may take it back (a full disk). Memory is bounded by the longest record, whatever the
// size of the log: `tail` reads backwards from the end.
//
// Thread-compatible. Everything blocks on the file system. Errors: those of open(2) and read(2),
// but no log at all reads as an empty one.
#ifndef OCID_DAEMON_LOGS_LOG_READER_H_
#define OCID_DAEMON_LOGS_LOG_READER_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/ocid/v1/log.pb.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

// Longer lines are not records of ours and are reported as lost.
inline constexpr size_t kMaxLogRecordBytes = 256 << 10;

struct LogQuery {
  std::optional<absl::Time> since = std::nullopt;  // not older than
  std::optional<absl::Time> until = std::nullopt;  // older than
  std::optional<uint64_t> tail = std::nullopt;     // only the newest so many of those that match
  v1::LogStream stream = v1::LOG_STREAM_UNSPECIFIED;
};

class LogReader {
 public:
  // Finds where reading starts. `directory` must exist.
  static absl::StatusOr<std::unique_ptr<LogReader>> Open(const std::string& directory,
                                                         const LogQuery& query);

  // Appends entries that match, at most `max_entries` and, but for the last, `max_bytes` of data.
  // Returns false when everything that is there now has been read.
  absl::StatusOr<bool> Read(size_t max_entries, size_t max_bytes,
                            std::vector<v1::LogEntry>& entries);

  // True when everything that was there at Open has been read.
  bool PastOpeningEnd() const;

 private:
  struct File {
    UniqueFd fd;
    ino_t inode = 0;
  };
  struct Position {
    File file;
    off_t offset = 0;
  };

  LogReader(UniqueFd directory, const LogQuery& query)
      : directory_(std::move(directory)), query_(query) {}

  bool Matches(const v1::LogEntry& entry) const;
  // The file of that index, `log` being 0; an invalid descriptor where there is none.
  absl::StatusOr<File> OpenFile(uint32_t index) const;
  absl::StatusOr<File> OpenOldest() const;
  // The file after `current_`, which has been read to its end; invalid where it is the newest.
  absl::StatusOr<File> OpenNext() const;
  absl::Status SeekStart();
  absl::Status SeekTail(uint64_t entries);
  // Reads on in the current file; false at its end.
  absl::StatusOr<bool> Fill();
  absl::StatusOr<bool> Advance();

  const UniqueFd directory_;
  const LogQuery query_;

  Position current_;      // where `buffer_` begins
  std::string buffer_;    // read and not yet parsed
  size_t parsed_ = 0;     // of buffer_
  uint64_t skipped_ = 0;  // bytes of a line too long, so far

  ino_t opening_inode_ = 0;  // of the newest file at Open, and its size
  off_t opening_size_ = 0;
  bool past_opening_ = false;
};

}  // namespace ocid

#endif  // OCID_DAEMON_LOGS_LOG_READER_H_
