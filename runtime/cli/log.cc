#include "runtime/cli/log.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "runtime/base/unique_fd.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

struct Log {
  UniqueFd file;
  bool json = false;
  bool debug = false;
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

void WriteEntry(const char* level, absl::string_view message) {
  const Log& log = TheLog();
  if (!log.file.valid()) return;
  const std::string line =
      log.json ? absl::StrCat(R"({"level":")", level, R"(","msg":)", Quoted(message),
                              R"(,"time":")", Now(), "\"}\n")
               : absl::StrCat("time=\"", Now(), "\" level=", level, " msg=", Quoted(message), "\n");
  WriteLine(log.file.get(), line);
}

}  // namespace

absl::Status OpenLog(const LogOptions& options) {
  Log& log = TheLog();
  log.json = options.json;
  log.debug = options.debug;
  if (options.file.empty()) return absl::OkStatus();
  log.file.reset(open(options.file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (log.file.valid()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(absl::ErrnoToStatus(errno, absl::StrCat("open log ", options.file)).message()));
}

void LogInfo(absl::string_view message) {
  if (TheLog().debug) WriteEntry("info", message);
}

void LogWarning(absl::string_view message) {
  if (TheLog().file.valid()) return WriteEntry("warning", message);
  WriteLine(STDERR_FILENO, absl::StrCat("ocirun: warning: ", message, "\n"));
}

void LogError(absl::string_view message) {
  WriteEntry("error", message);
  WriteLine(STDERR_FILENO, absl::StrCat("ocirun: ", message, "\n"));
}

}  // namespace ocid
