// The formats of a container's log. JSON lines:
//
//   {"time":"2026-11-22T20:26:27.123456789Z","stream":"stdout","log":"one line\n"}
//   {"time":"...","stream":"stderr","log":"the first 16 KiB of a long line","partial":true}
//   {"time":"...","stream":"stdout","log":"caf\ufffd\n","log_base64":"Y2Fm6Qo="}
//   {"time":"...","stream":"supervisor","log":"","dropped_bytes":4096}
//
// - `log` ends in "\n" unless the line goes on in the stream's next record (`partial`) or the
//   stream ended there.
// - Output that is not UTF-8 has U+FFFD for each stray byte in `log` (in UTF-8 itself, not escaped)
//   and its exact bytes in `log_base64`, which is present only then.
// - `dropped_bytes` stands where output was lost, for want of disk space.
//
// Or that of the Kubernetes Container Runtime Interface, the output's bytes as they are:
//
//   2026-11-22T20:26:27.123456789Z stdout F one line
//   2026-11-22T20:26:27.123456789Z stderr P the first 16 KiB of a long line
//   2026-11-22T20:26:27.123456789Z stderr F:ocid.dropped=4096 4096 bytes of output were lost
//
// where F is a line, or what is left of one at the end of its stream, and P goes on. (Of the tags behind
// the first, readers of this format know none: it is how it grows.)
//
// Pure functions; nothing allocates. Thread-safe. Sources: RFC 8259 section 7, RFC 3339, RFC 4648,
// Unicode 15 table 3-7 (well-formed UTF-8); kubernetes/design-proposals-archive, kubelet-cri-logging.
#ifndef OCID_RUNTIME_SUPERVISOR_LOG_LINE_H_
#define OCID_RUNTIME_SUPERVISOR_LOG_LINE_H_

#include <stddef.h>
#include <stdint.h>

namespace ocid {

inline constexpr size_t kMaxLogLine = 16384;  // bytes of output in one record

// Each byte of output becomes at most six ("\u0000") and, if there is a stray one, a third more.
inline constexpr size_t kMaxLogRecord = kMaxLogLine * 6 + (kMaxLogLine + 2) / 3 * 4 + 256;

inline constexpr size_t kTimestampSize = 30;

enum class LogStream { kStdout, kStderr };

enum class LogFileFormat : uint32_t { kJson = 0, kCri = 1 };

// "2026-11-22T20:26:27.123456789Z", without a terminating zero.
void FormatTimestamp(int64_t seconds, int32_t nanoseconds, char (&out)[kTimestampSize]);

struct LogLine {
  LogStream stream = LogStream::kStdout;
  const char* bytes = nullptr;
  size_t size = 0;  // at most kMaxLogLine
  bool partial = false;
};

// Writes the record of a line, newline included, to `out`, which has room for kMaxLogRecord bytes.
// Returns its length.
size_t EncodeLogLine(LogFileFormat format, const LogLine& line,
                     const char (&timestamp)[kTimestampSize], char* out);

// The record that stands for lost output; at most 256 bytes.
size_t EncodeDropMarker(LogFileFormat format, uint64_t dropped_bytes,
                        const char (&timestamp)[kTimestampSize], char* out);

// How many of `size` bytes to put into a record so that it does not end within a character that
// the bytes after it complete: `size`, or up to three less.
size_t CutAtCharacter(const char* bytes, size_t size);

}  // namespace ocid

#endif  // OCID_RUNTIME_SUPERVISOR_LOG_LINE_H_
