#include "daemon/logs/log_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/logs/log_record.h"

namespace ocid {
namespace {

constexpr size_t kBlockBytes = 64 << 10;
// How many files of a rotation there can be, and how many numbers in a row may be missing for the
// moment of a rename.
constexpr uint32_t kMaxLogIndex = 1000;
constexpr uint32_t kMaxIndexGap = 1;

std::string FileName(uint32_t index) { return index == 0 ? "log" : absl::StrCat("log.", index); }

absl::StatusOr<off_t> SizeOf(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) return absl::ErrnoToStatus(errno, "log");
  return status.st_size;
}

// Reads up to `size` bytes at `offset` and appends them. Returns how many; 0 at the end.
absl::StatusOr<size_t> ReadAt(int fd, off_t offset, size_t size, std::string& out) {
  const size_t before = out.size();
  out.resize(before + size);
  ssize_t count;
  do {
    count = pread(fd, out.data() + before, size, offset);
  } while (count < 0 && errno == EINTR);
  out.resize(before + static_cast<size_t>(std::max<ssize_t>(count, 0)));
  if (count < 0) return absl::ErrnoToStatus(errno, "read log");
  return static_cast<size_t>(count);
}

absl::Time TimeOf(const v1::LogEntry& entry) {
  return absl::FromUnixSeconds(entry.time().seconds()) + absl::Nanoseconds(entry.time().nanos());
}

// Goes through the complete lines of a file from the last to the first.
class BackwardLines {
 public:
  BackwardLines(int fd, off_t size) : fd_(fd), block_start_(size) {}

  struct Line {
    std::string_view text;  // until the next call
    off_t offset = 0;
    off_t end = 0;  // after its newline
    bool too_long = false;
  };

  // Nothing at the beginning of the file.
  absl::StatusOr<std::optional<Line>> Next() {
    if (!found_end_) {
      const absl::Status status = FindLastNewline();
      if (!status.ok()) return status;
      found_end_ = true;
    }
    if (end_ == 0) return std::nullopt;
    // The line before `end_`, which is just after its newline.
    const off_t line_end = end_;
    bool too_long = false;
    while (true) {
      const size_t last = static_cast<size_t>(end_ - block_start_);  // after the newline
      const size_t newline = last < 2 ? std::string::npos : buffer_.rfind('\n', last - 2);
      if (newline != std::string::npos || block_start_ == 0) {
        const size_t begin = newline == std::string::npos ? 0 : newline + 1;
        Line line;
        line.offset = block_start_ + static_cast<off_t>(begin);
        line.end = line_end;
        line.too_long = too_long;
        line.text = std::string_view(buffer_).substr(begin, last - 1 - begin);
        end_ = line.offset;
        return line;
      }
      if (last > kMaxLogRecordBytes) {
        // Keep the newline alone: what matters of such a line is where it begins.
        too_long = true;
        buffer_.assign(1, '\n');
        end_ = block_start_ + 1;
      }
      const absl::Status status = ReadBlockBefore();
      if (!status.ok()) return status;
    }
  }

 private:
  absl::Status FindLastNewline() {
    while (block_start_ > 0) {
      buffer_.clear();
      const absl::Status status = ReadBlockBefore();
      if (!status.ok()) return status;
      const size_t newline = buffer_.rfind('\n');
      if (newline == std::string::npos) continue;
      end_ = block_start_ + static_cast<off_t>(newline) + 1;
      return absl::OkStatus();
    }
    end_ = 0;
    return absl::OkStatus();
  }

  absl::Status ReadBlockBefore() {
    // What lies after `end_` has been given out.
    if (found_end_) buffer_.resize(static_cast<size_t>(end_ - block_start_));
    const off_t size = std::min<off_t>(block_start_, kBlockBytes);
    std::string block;
    const absl::StatusOr<size_t> count =
        ReadAt(fd_, block_start_ - size, static_cast<size_t>(size), block);
    if (!count.ok()) return count.status();
    if (*count != static_cast<size_t>(size)) return absl::DataLossError("log: cut while reading");
    block_start_ -= size;
    buffer_.insert(0, block);
    return absl::OkStatus();
  }

  const int fd_;
  off_t block_start_;  // file offset of buffer_[0]
  std::string buffer_;
  off_t end_ = 0;  // everything from here on has been given out
  bool found_end_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LogReader>> LogReader::Open(const std::string& directory,
                                                           const LogQuery& query) {
  UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, directory);
  std::unique_ptr<LogReader> reader(new LogReader(std::move(fd), query));
  const absl::Status status =
      query.tail.has_value() ? reader->SeekTail(*query.tail) : reader->SeekStart();
  if (!status.ok()) return status;
  return reader;
}

bool LogReader::Matches(const v1::LogEntry& entry) const {
  if (query_.stream != v1::LOG_STREAM_UNSPECIFIED && entry.stream() != query_.stream &&
      entry.lost_bytes() == 0) {
    return false;
  }
  if (!entry.has_time()) return true;  // lost, nobody knows when
  if (query_.since.has_value() && TimeOf(entry) < *query_.since) return false;
  return !query_.until.has_value() || TimeOf(entry) < *query_.until;
}

absl::StatusOr<LogReader::File> LogReader::OpenFile(uint32_t index) const {
  const std::string name = FileName(index);
  File file;
  // A log is a plain file that the supervisor made: nothing is followed, nothing blocks.
  file.fd.reset(openat(directory_.get(), name.c_str(),
                       O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (!file.fd.valid()) {
    if (errno == ENOENT) return file;
    return absl::ErrnoToStatus(errno, name);
  }
  struct stat status;
  if (fstat(file.fd.get(), &status) != 0) return absl::ErrnoToStatus(errno, name);
  if (!S_ISREG(status.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(name, ": is not a plain file"));
  }
  file.inode = status.st_ino;
  return file;
}

absl::StatusOr<LogReader::File> LogReader::OpenOldest() const {
  File oldest;
  uint32_t missing = 0;
  for (uint32_t index = 0; index <= kMaxLogIndex && missing <= kMaxIndexGap; ++index) {
    absl::StatusOr<File> file = OpenFile(index);
    if (!file.ok()) return file.status();
    missing = file->fd.valid() ? 0 : missing + 1;
    if (file->fd.valid()) oldest = *std::move(file);
  }
  return oldest;
}

absl::StatusOr<LogReader::File> LogReader::OpenNext() const {
  while (true) {
    absl::StatusOr<File> newer;  // the one with the number before
    uint32_t missing = 0;
    bool again = false;
    for (uint32_t index = 0; index <= kMaxLogIndex && missing <= kMaxIndexGap; ++index) {
      absl::StatusOr<File> file = OpenFile(index);
      if (!file.ok()) return file.status();
      if (!file->fd.valid()) {
        ++missing;
        continue;
      }
      missing = 0;
      if (file->inode != current_.file.inode) {
        newer = std::move(file);
        continue;
      }
      if (index == 0) return File();
      if (!newer.ok()) {
        again = true;  // in the middle of a rotation: `log` is not there yet
        break;
      }
      // Our file may have moved on by one between the two opens; then `newer` is one too far.
      const absl::StatusOr<File> still = OpenFile(index);
      if (!still.ok()) return still.status();
      if (still->inode == current_.file.inode) return newer;
      again = true;
      break;
    }
    if (!again) break;
    if (!newer.ok()) return File();  // nothing newer yet: look again when something changes
  }
  return OpenOldest();  // ours was rotated out
}

absl::Status LogReader::SeekStart() {
  const absl::StatusOr<File> newest = OpenFile(0);
  if (!newest.ok()) return newest.status();
  if (newest->fd.valid()) {
    const absl::StatusOr<off_t> size = SizeOf(newest->fd.get());
    if (!size.ok()) return size.status();
    opening_inode_ = newest->inode;
    opening_size_ = *size;
  } else {
    past_opening_ = true;
  }
  absl::StatusOr<File> oldest = OpenOldest();
  if (!oldest.ok()) return oldest.status();
  current_ = Position{*std::move(oldest), 0};
  return absl::OkStatus();
}

absl::Status LogReader::SeekTail(uint64_t entries) {
  // Back through the files until enough entries match; where they do not suffice, the oldest file's
  // beginning.
  uint32_t missing = 0;
  uint64_t found = 0;
  past_opening_ = true;
  for (uint32_t index = 0; index <= kMaxLogIndex && missing <= kMaxIndexGap; ++index) {
    absl::StatusOr<File> file = OpenFile(index);
    if (!file.ok()) return file.status();
    if (!file->fd.valid()) {
      ++missing;
      continue;
    }
    missing = 0;
    if (file->inode == current_.file.inode) continue;  // it was renamed while we looked
    const absl::StatusOr<off_t> size = SizeOf(file->fd.get());
    if (!size.ok()) return size.status();
    if (past_opening_) {
      past_opening_ = false;
      opening_inode_ = file->inode;
      opening_size_ = *size;
    }
    current_ = Position{*std::move(file), *size};
    BackwardLines lines(current_.file.fd.get(), *size);
    bool first = true;
    while (true) {
      const absl::StatusOr<std::optional<BackwardLines::Line>> line = lines.Next();
      if (!line.ok()) return line.status();
      if (!line->has_value()) break;
      // After the last complete line: where nothing is wanted of what is there.
      if (first) current_.offset = (*line)->end;
      first = false;
      if (found == entries) return absl::OkStatus();
      current_.offset = (*line)->offset;
      if ((*line)->too_long || Matches(ParseLogRecord((*line)->text))) ++found;
    }
    current_.offset = first ? 0 : current_.offset;
    if (found == entries) return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> LogReader::Fill() {
  const absl::StatusOr<size_t> count =
      ReadAt(current_.file.fd.get(), current_.offset + static_cast<off_t>(buffer_.size()),
             kBlockBytes, buffer_);
  if (!count.ok()) return count.status();
  return *count > 0;
}

// At the end of the current file: on to the next. False where there is none yet.
absl::StatusOr<bool> LogReader::Advance() {
  if (current_.file.fd.valid()) {
    const absl::StatusOr<off_t> size = SizeOf(current_.file.fd.get());
    if (!size.ok()) return size.status();
    // Somebody emptied the file in place: it begins anew.
    if (*size < current_.offset) {
      current_.offset = 0;
      return *size > 0;
    }
    if (current_.file.inode == opening_inode_) past_opening_ = true;
  }
  absl::StatusOr<File> next = current_.file.fd.valid() ? OpenNext() : OpenOldest();
  if (!next.ok()) return next.status();
  if (!next->fd.valid()) return false;
  if (current_.file.fd.valid()) {
    // It was written to until it was renamed, which may be after we saw its end.
    buffer_.clear();
    const absl::StatusOr<bool> more = Fill();
    if (!more.ok()) return more.status();
    if (*more && buffer_.find('\n') != std::string::npos) return true;
  }
  buffer_.clear();
  parsed_ = 0;
  current_ = Position{*std::move(next), 0};
  return true;
}

absl::StatusOr<bool> LogReader::Read(size_t max_entries, size_t max_bytes,
                                     std::vector<v1::LogEntry>& entries) {
  size_t count = 0;
  size_t bytes = 0;
  while (count < max_entries && bytes < max_bytes) {
    const size_t newline = buffer_.find('\n', parsed_);
    if (newline != std::string::npos) {
      const std::string_view line(buffer_.data() + parsed_, newline - parsed_);
      v1::LogEntry entry;
      if (skipped_ > 0) {
        entry.set_lost_bytes(skipped_ + line.size());
        skipped_ = 0;
      } else {
        entry = ParseLogRecord(line);
      }
      parsed_ = newline + 1;
      if (!Matches(entry)) continue;
      ++count;
      bytes += entry.data().size();
      entries.push_back(std::move(entry));
      continue;
    }
    // No complete line is left: keep the beginning of the next one and read on.
    current_.offset += static_cast<off_t>(parsed_);
    buffer_.erase(0, parsed_);
    parsed_ = 0;
    if (buffer_.size() > kMaxLogRecordBytes) {
      skipped_ += buffer_.size();
      current_.offset += static_cast<off_t>(buffer_.size());
      buffer_.clear();
    }
    if (current_.file.fd.valid()) {
      const absl::StatusOr<bool> more = Fill();
      if (!more.ok()) return more.status();
      if (*more) continue;
    }
    // An incomplete line is read again when it has grown: it may have been taken back by then.
    buffer_.clear();
    const absl::StatusOr<bool> next = Advance();
    if (!next.ok()) return next.status();
    if (!*next) return false;
  }
  return true;
}

bool LogReader::PastOpeningEnd() const {
  return past_opening_ || (current_.file.inode == opening_inode_ &&
                           current_.offset + static_cast<off_t>(parsed_) >= opening_size_);
}

}  // namespace ocid
