#include "daemon/access/audit_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/base/log.h"

namespace ocid {
namespace {

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", time, absl::UTCTimeZone());
}

std::string Line(const AuditRecord& record) {
  std::string line = absl::StrCat("{\"time\":\"", TimeText(record.time), "\"");
  for (const auto& [key, value] : record.fields) {
    if (value.empty()) continue;
    line += ",\"";
    line += key;
    line += "\":";
    line += QuoteForLog(value);
  }
  absl::StrAppend(&line, ",\"duration_us\":", absl::ToInt64Microseconds(record.duration), "}\n");
  return line;
}

}  // namespace

absl::StatusOr<std::unique_ptr<AuditLog>> AuditLog::Open(AuditLogOptions options) {
  std::unique_ptr<AuditLog> log(new AuditLog(std::move(options)));
  const std::filesystem::path folder = std::filesystem::path(log->options_.path).parent_path();
  std::error_code error;
  if (std::filesystem::create_directories(folder, error)) {
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  }
  if (error) return absl::ErrnoToStatus(error.value(), folder.string());
  const MutexLock lock(log->mutex_);
  const absl::Status opened = log->OpenFile();
  if (!opened.ok()) return opened;
  return log;
}

absl::Status AuditLog::OpenFile() {
  const char* const path = options_.path.c_str();
  UniqueFd file(open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  struct stat status;
  if (!file.valid() || fstat(file.get(), &status) != 0) {
    return absl::ErrnoToStatus(errno, options_.path);
  }
  file_ = std::move(file);
  size_ = static_cast<uint64_t>(status.st_size);
  return absl::OkStatus();
}

absl::Status AuditLog::Rotate() {
  for (int number = options_.max_files - 1; number > 0; --number) {
    const std::string from =
        number == 1 ? options_.path : absl::StrCat(options_.path, ".", number - 1);
    const std::string to = absl::StrCat(options_.path, ".", number);
    if (rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT) {
      return absl::ErrnoToStatus(errno, from);
    }
  }
  if (options_.max_files == 1 && unlink(options_.path.c_str()) != 0 && errno != ENOENT) {
    return absl::ErrnoToStatus(errno, options_.path);
  }
  return OpenFile();
}

absl::Status AuditLog::Append(const std::string& line) {
  if (size_ > 0 && size_ + line.size() > options_.max_bytes) {
    const absl::Status rotated = Rotate();
    if (!rotated.ok()) return rotated;
  }
  ssize_t put = 0;
  do {
    put = write(file_.get(), line.data(), line.size());
  } while (put < 0 && errno == EINTR);
  if (put == static_cast<ssize_t>(line.size())) {
    size_ += line.size();
    return absl::OkStatus();
  }
  const int error = put < 0 ? errno : ENOSPC;
  // Half a line would spoil the next one. Where that fails too, the next one spoils itself.
  if (put > 0 && ftruncate(file_.get(), static_cast<off_t>(size_)) != 0) size_ += static_cast<uint64_t>(put);
  return absl::ErrnoToStatus(error, options_.path);
}

void AuditLog::Write(const AuditRecord& record) {
  absl::Status status;
  bool first_lost = false;
  uint64_t gap = 0;
  {
    const MutexLock lock(mutex_);
    gap = lost_untold_;
    std::string lines;
    if (gap > 0) {
      lines = absl::StrCat("{\"time\":\"", TimeText(absl::Now()), "\",\"lost_lines\":", gap, "}\n");
    }
    lines += Line(record);
    status = Append(lines);
    if (status.ok()) {
      ++written_;
      lost_untold_ = 0;
    } else {
      first_lost = lost_untold_ == 0;
      ++lost_;
      ++lost_untold_;
    }
  }
  if (!status.ok() && first_lost) {
    Log(LogLevel::kError, "audit log: lines are lost", {{"error", status}});
  } else if (status.ok() && gap > 0) {
    Log(LogLevel::kWarning, "audit log: lines were lost", {{"lines", gap}});
  }
}

uint64_t AuditLog::written() const {
  const MutexLock lock(mutex_);
  return written_;
}

uint64_t AuditLog::lost() const {
  const MutexLock lock(mutex_);
  return lost_;
}

}  // namespace ocid
