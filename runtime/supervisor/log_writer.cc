#include "runtime/supervisor/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>  // renameat
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "runtime/supervisor/clock.h"
#include "runtime/supervisor/fixed_text.h"

namespace ocid {
namespace {

constexpr size_t kNameSize = 16;

// "log" for 0, "log.N" for others; zero-terminated.
void LogName(uint32_t index, char (&out)[kNameSize]) {
  FixedText text(out, sizeof(out));
  text.Text(kLogFileName);
  if (index > 0) text.Text(".").Unsigned(index);
  text.Bytes("", 1);
}

bool EndsInNewline(int fd, uint64_t size) {
  char last = '\n';
  return pread(fd, &last, 1, static_cast<off_t>(size - 1)) != 1 || last == '\n';
}

}  // namespace

int LogWriter::Open(int dir_fd, uint64_t max_bytes, uint32_t max_files, LogFileFormat format) {
  format_ = format;
  dir_fd_ = dir_fd;
  max_bytes_ = max_bytes;
  max_files_ = max_files < 1 ? 1 : max_files > kMaxLogFiles ? kMaxLogFiles : max_files;
  return OpenFile();
}

int LogWriter::OpenFile() {
  fd_.reset(openat(dir_fd_, kLogFileName,
                   O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0640));
  if (!fd_.valid()) return errno;
  struct stat status = {};
  if (fstat(fd_.get(), &status) != 0) return errno;
  file_bytes_ = static_cast<uint64_t>(status.st_size);
  // An earlier writer may have been killed within a record: close that line off.
  if (file_bytes_ > 0 && !EndsInNewline(fd_.get(), file_bytes_) && write(fd_.get(), "\n", 1) == 1) {
    ++file_bytes_;
  }
  return 0;
}

void LogWriter::Append(LogStream stream, const char* bytes, size_t size) {
  Tail& tail = tails_[static_cast<int>(stream)];
  accepted_bytes_ += size;
  while (size > 0) {
    const char* newline = static_cast<const char*>(memchr(bytes, '\n', size));
    const size_t line = newline != nullptr ? static_cast<size_t>(newline - bytes) + 1 : size;
    if (tail.size == 0 && newline != nullptr && line <= kMaxLogLine) {
      Emit({.stream = stream, .bytes = bytes, .size = line});
      bytes += line;
      size -= line;
      continue;
    }
    const size_t room = kMaxLogLine - tail.size;
    const size_t taken = line < room ? line : room;
    memcpy(tail.bytes + tail.size, bytes, taken);
    tail.size += taken;
    bytes += taken;
    size -= taken;
    if (tail.bytes[tail.size - 1] == '\n') {
      Emit({.stream = stream, .bytes = tail.bytes, .size = tail.size});
      tail.size = 0;
    } else if (tail.size == kMaxLogLine) {
      const size_t cut = CutAtCharacter(tail.bytes, tail.size);
      Emit({.stream = stream, .bytes = tail.bytes, .size = cut, .partial = true});
      tail.size -= cut;
      memmove(tail.bytes, tail.bytes + cut, tail.size);
    }
  }
  if (tail.size > 0) tail.since_ns = MonotonicNow();
}

void LogWriter::Finish(LogStream stream) {
  Tail& tail = tails_[static_cast<int>(stream)];
  if (tail.size > 0) Emit({.stream = stream, .bytes = tail.bytes, .size = tail.size});
  tail.size = 0;
}

int64_t LogWriter::WriteTails(int64_t now_ns) {
  int64_t next = -1;
  for (const LogStream stream : {LogStream::kStdout, LogStream::kStderr}) {
    Tail& tail = tails_[static_cast<int>(stream)];
    if (tail.size == 0) continue;
    const int64_t left = tail.since_ns + kTailDelayNs - now_ns;
    if (left > 0) {
      if (next < 0 || left < next) next = left;
      continue;
    }
    Emit({.stream = stream, .bytes = tail.bytes, .size = tail.size, .partial = true});
    tail.size = 0;
  }
  Flush();
  return next;
}

void LogWriter::Emit(const LogLine& line) {
  if (sizeof(out_) - out_size_ < kMaxLogRecord) WriteOut(pending_output_);
  if (!timestamp_valid_) {
    timespec now = {};
    clock_gettime(CLOCK_REALTIME, &now);
    FormatTimestamp(now.tv_sec, static_cast<int32_t>(now.tv_nsec), timestamp_);
    timestamp_valid_ = true;
  }
  const size_t record = EncodeLogLine(format_, line, timestamp_, out_ + out_size_);
  // A file is over its bound by no more than the batch that it was opened for.
  if (max_bytes_ > 0 && file_bytes_ + out_size_ > 0 &&
      file_bytes_ + out_size_ + record > max_bytes_) {
    const size_t before = out_size_;
    if (before > 0) WriteOut(pending_output_);
    Rotate();
    memmove(out_, out_ + before, record);
  }
  out_size_ += record;
  pending_output_ += line.size;
}

void LogWriter::Flush() {
  if (out_size_ > 0) WriteOut(pending_output_);
  timestamp_valid_ = false;
}

void LogWriter::WriteOut(uint64_t output_bytes) {
  if (unmarked_bytes_ > 0) {
    char marker[256];
    const size_t size = EncodeDropMarker(format_, unmarked_bytes_, timestamp_, marker);
    if (write(fd_.get(), marker, size) == static_cast<ssize_t>(size)) {
      file_bytes_ += size;
      unmarked_bytes_ = 0;
    }
  }
  size_t written = 0;
  while (unmarked_bytes_ == 0 && written < out_size_) {
    const ssize_t got = write(fd_.get(), out_ + written, out_size_ - written);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    written += static_cast<size_t>(got);
  }
  if (written == out_size_) {
    file_bytes_ += written;
  } else {
    // Not enough space: no half records, and the batch counts as lost as a whole.
    if (ftruncate(fd_.get(), static_cast<off_t>(file_bytes_)) != 0) {
      struct stat status = {};
      if (fstat(fd_.get(), &status) == 0) file_bytes_ = static_cast<uint64_t>(status.st_size);
    }
    dropped_bytes_ += output_bytes;
    unmarked_bytes_ += output_bytes;
  }
  out_size_ = 0;
  pending_output_ = 0;
}

void LogWriter::Rotate() {
  char from[kNameSize];
  char to[kNameSize];
  for (uint32_t index = max_files_ - 1; index > 0; --index) {
    LogName(index - 1, from);
    LogName(index, to);
    renameat(dir_fd_, from, dir_fd_, to);
  }
  if (max_files_ == 1) unlinkat(dir_fd_, kLogFileName, 0);
  UniqueFd old(fd_.release());
  // Without a new file, better an overlong log than none.
  if (OpenFile() != 0) {
    fd_ = UniqueFd(old.release());
  }
}

}  // namespace ocid
