// LogWriter: puts a container's output into its log, line by line, and keeps the log's size within
// bounds.
//
// A line is written when it is complete, when 16 KiB of it have come, or a quarter of a second
// after its last byte, so that a prompt shows up too; the last two are marked partial. What has
// been read is therefore never longer than that in memory only. Rotation is done here, between two
// records: log -> log.1 -> log.2 ..., so no line is lost by it and no reader has to cooperate.
//
// A full disk never blocks the container: what cannot be written is counted, the log is cut back to
// its last whole record, and when there is space again a marker says how much is missing.
//
// Nothing is synced. Nothing allocates; the buffers are static, so there can be one LogWriter in a
// process. Thread-hostile. Blocks as long as write(2) to the file system does.
#ifndef OCID_RUNTIME_SUPERVISOR_LOG_WRITER_H_
#define OCID_RUNTIME_SUPERVISOR_LOG_WRITER_H_

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/unique_fd.h"
#include "runtime/supervisor/log_line.h"

namespace ocid {

inline constexpr char kLogFileName[] = "log";
inline constexpr int64_t kTailDelayNs = 250'000'000;
inline constexpr uint32_t kMaxLogFiles = 1000;

class LogWriter {
 public:
  // Opens or creates `log` in the directory, which is lent for good. max_bytes 0: no bound.
  // Returns 0 or an errno.
  int Open(int dir_fd, uint64_t max_bytes, uint32_t max_files,
           LogFileFormat format = LogFileFormat::kJson);

  // Takes output as it was read. Call Flush after each batch.
  void Append(LogStream stream, const char* bytes, size_t size);

  // The stream has ended: what is left of its last line becomes a record.
  void Finish(LogStream stream);

  // Writes lines that have waited for their end for too long. Returns in how many nanoseconds to
  // call again, or -1 when nothing waits.
  int64_t WriteTails(int64_t now_ns);

  void Flush();

  uint64_t accepted_bytes() const { return accepted_bytes_; }
  uint64_t dropped_bytes() const { return dropped_bytes_; }
  // False from the first byte that was dropped until the marker that says so is written.
  bool writable() const { return unmarked_bytes_ == 0; }

 private:
  struct Tail {
    char bytes[kMaxLogLine];
    size_t size = 0;
    int64_t since_ns = 0;
  };

  void Emit(const LogLine& line);
  void WriteOut(uint64_t output_bytes);
  void Rotate();
  int OpenFile();

  int dir_fd_ = -1;
  UniqueFd fd_;
  uint64_t max_bytes_ = 0;
  uint32_t max_files_ = 1;
  LogFileFormat format_ = LogFileFormat::kJson;
  uint64_t file_bytes_ = 0;  // always the end of a whole record
  uint64_t accepted_bytes_ = 0;
  uint64_t dropped_bytes_ = 0;
  uint64_t unmarked_bytes_ = 0;  // dropped, and the marker not yet written
  uint64_t pending_output_ = 0;  // bytes of output that out_ stands for
  size_t out_size_ = 0;
  char timestamp_[kTimestampSize] = {};
  bool timestamp_valid_ = false;
  Tail tails_[2];
  char out_[kMaxLogRecord + 65536];
};

}  // namespace ocid

#endif  // OCID_RUNTIME_SUPERVISOR_LOG_WRITER_H_
