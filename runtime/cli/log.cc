#include "runtime/cli/log.h"

#include <errno.h>
#include <fcntl.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "runtime/base/unique_fd.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

struct Log {
  UniqueFd file;
  bool syslog = false;
  bool json = false;
  LogLevel level = LogLevel::kInfo;
};

Log& TheLog() {
  static Log log;
  return log;
}

void WriteLine(int fd, const std::string& line) {
  // A log that cannot be written to is no reason to fail, and there is nobody to tell.
  const ssize_t ignored = write(fd, line.data(), line.size());
  static_cast<void>(ignored);
}

std::string Now() {
  const time_t now = time(nullptr);
  tm parts = {};
  localtime_r(&now, &parts);
  char text[64];
  const size_t size = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S%z", &parts);
  // RFC 3339 wants a colon in the offset.
  std::string result(text, size);
  return result.insert(result.size() - 2, ":");
}

std::string Quoted(absl::string_view text) {
  std::string quoted;
  AppendJsonString(std::string_view(text.data(), text.size()), quoted);
  return quoted;
}

struct KnownLevel {
  const char* name;
  int priority;
};

KnownLevel Known(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return {"debug", LOG_DEBUG};
    case LogLevel::kInfo:
      return {"info", LOG_INFO};
    case LogLevel::kWarning:
      return {"warning", LOG_WARNING};
    case LogLevel::kError:
      break;
  }
  return {"error", LOG_ERR};
}

// `everywhere`: to standard error if there is no other place.
void WriteEntry(LogLevel level, absl::string_view message, bool everywhere) {
  const Log& log = TheLog();
  if (level > log.level) return;
  const KnownLevel known = Known(level);
  if (log.syslog) {
    syslog(known.priority, "%.*s", static_cast<int>(message.size()), message.data());
    return;
  }
  if (!log.file.valid() && !everywhere) return;
  const std::string line =
      log.json ? absl::StrCat(R"({"level":")", known.name, R"(","msg":)", Quoted(message),
                              R"(,"time":")", Now(), "\"}\n")
               : absl::StrCat("time=\"", Now(), "\" level=", known.name,
                              " msg=", Quoted(message), "\n");
  WriteLine(log.file.valid() ? log.file.get() : STDERR_FILENO, line);
}

}  // namespace

absl::StatusOr<LogLevel> ParseLogLevel(std::string_view name) {
  if (name == "debug" || name == "trace") return LogLevel::kDebug;
  if (name == "info") return LogLevel::kInfo;
  if (name == "warning" || name == "warn") return LogLevel::kWarning;
  if (name == "error" || name == "fatal" || name == "panic") return LogLevel::kError;
  return absl::InvalidArgumentError(absl::StrCat("invalid log level: ", std::string(name)));
}

absl::Status OpenLog(const LogOptions& options) {
  Log& log = TheLog();
  log.json = options.json;
  log.level = options.level;
  std::string target = options.target;
  for (const std::string_view scheme : {"syslog:", "journald:"}) {
    if (!target.starts_with(scheme)) continue;
    // openlog(3) keeps the pointer. The journal reads the same socket.
    static const auto* const kName = new std::string(
        target.size() > scheme.size() ? target.substr(scheme.size()) : std::string("ocirun"));
    openlog(kName->c_str(), LOG_PID, LOG_USER);
    log.syslog = true;
    return absl::OkStatus();
  }
  constexpr std::string_view kFile = "file:";
  if (target.starts_with(kFile)) target.erase(0, kFile.size());
  if (target.empty()) return absl::OkStatus();
  log.file.reset(open(target.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (log.file.valid()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(absl::ErrnoToStatus(errno, absl::StrCat("open log ", target)).message()));
}

void LogDebug(absl::string_view message) { WriteEntry(LogLevel::kDebug, message, true); }

void LogInfo(absl::string_view message) { WriteEntry(LogLevel::kInfo, message, false); }

void LogWarning(absl::string_view message) { WriteEntry(LogLevel::kWarning, message, true); }

void LogError(absl::string_view message) {
  WriteEntry(LogLevel::kError, message, false);
  WriteLine(STDERR_FILENO, absl::StrCat("ocirun: ", message, "\n"));
}

}  // namespace ocid
