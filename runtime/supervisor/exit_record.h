// ExitRecord: how a process of a container ended. The supervisor writes the one of the container's
// init to the file `exit` in the container's directory before it tells anyone, so that an exit
// code outlives the supervisor and any daemon that was not there to hear it.
//
// The file is text, one `key=value` a line, at most kMaxExitRecordSize bytes, the last line being
// the CRC-32 (IEEE, as in zlib) of everything above it:
//
//   ocid-exit=1
//   code=137
//   ...
//   crc32=89abcdef
//
// It appears by rename and is not synced: the page cache outlives every process, and after a loss
// of power the daemon sees from the boot id that nothing of this container runs.
//
// Plain data and pure functions but for WriteExitRecord; nothing allocates, so the supervisor can
// use it too. Thread-safe.
#ifndef OCID_RUNTIME_SUPERVISOR_EXIT_RECORD_H_
#define OCID_RUNTIME_SUPERVISOR_EXIT_RECORD_H_

#include <stddef.h>
#include <stdint.h>

namespace ocid {

inline constexpr char kExitRecordName[] = "exit";
inline constexpr size_t kMaxExitRecordSize = 1024;

// Also a part of control messages, hence the fixed layout.
struct ExitRecord {
  int32_t code = 0;          // what exit(2) got, 0..255; 0 when a signal ended the process
  int32_t signal = 0;        // the signal that ended it, or 0
  uint32_t core_dumped = 0;  // 0 or 1
  uint32_t oom_kills = 0;    // of the init: processes of its cgroup killed for lack of memory so far
  int64_t pid = 0;           // in the supervisor's PID namespace
  int64_t time_unix_ns = 0;  // CLOCK_REALTIME when the supervisor saw the exit
  int64_t time_boot_ns = 0;  // CLOCK_BOOTTIME at the same moment
  int64_t user_time_us = 0;  // getrusage(2) of the process and the children it waited for
  int64_t system_time_us = 0;
  int64_t max_rss_kib = 0;
};

// One number, as shells have it: the code, or 128 + signal.
constexpr int ExitCode(const ExitRecord& record) {
  return record.signal != 0 ? 128 + record.signal : record.code;
}

// Returns the length of the text, or 0 if `size` is too small; kMaxExitRecordSize never is.
size_t FormatExitRecord(const ExitRecord& record, char* out, size_t size);

// False if the text is cut short, changed, of another version or not one of ours. Unknown keys are
// skipped, and oom_kills, which not every supervisor writes, may be absent.
bool ParseExitRecord(const char* text, size_t size, ExitRecord* record);

// Writes `exit` in the directory: temporary file, then rename. Returns 0 or an errno.
int WriteExitRecord(int dir_fd, const ExitRecord& record);

// Reads it. Returns 0, ENOENT if there is none, EBADMSG if it does not parse, or another errno.
int ReadExitRecord(int dir_fd, ExitRecord* record);

}  // namespace ocid

#endif  // OCID_RUNTIME_SUPERVISOR_EXIT_RECORD_H_
