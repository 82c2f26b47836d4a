// The daemon's log: one line an entry on standard error, for people or for programs.
//
//   Log(LogLevel::kInfo, "container stopped", {{"container", id}, {"code", 137}});
//
//   text  2026-01-02T03:04:05.678901Z INFO  container stopped container="web" code=137
//   json  {"time":"2026-01-02T03:04:05.678901Z","level":"info","msg":"container stopped",
//          "container":"web","code":137}                                     (in one line)
//
// Whatever a value holds, it stays within its line and its quotes: control characters, quotes and
// bytes that are not UTF-8 are escaped. Each entry is one write(2), so lines of several threads or
// processes do not mix; a line that the descriptor will not take is lost rather than waited for.
//
// A line that a call led to ends with its `trace_id`, where its caller sent one (log_context.h).
//
// Where standard error is systemd's journal (JOURNAL_STREAM, systemd.exec(5)) entries go there as fields
// instead: MESSAGE is the text above without its time, PRIORITY the level, CONTAINER_ID, TRACE_ID and
// RPC_METHOD are what their names say, and every other field is OCID_ and its name.
//
// An error that is returned is not logged as well: who ends its way logs it.
// Thread-safe. Blocks only as long as write(2) to standard error does.
#ifndef OCID_DAEMON_BASE_LOG_H_
#define OCID_DAEMON_BASE_LOG_H_

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ocid {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kText, kJson };

// "debug", "info", "warning", "error"; "text", "json".
std::string_view LogLevelName(LogLevel level);
std::string_view LogFormatName(LogFormat format);
absl::StatusOr<LogLevel> ParseLogLevel(std::string_view name);
absl::StatusOr<LogFormat> ParseLogFormat(std::string_view name);

// A key and its value. Lives as long as the call that it is an argument of.
class LogField {
 public:
  LogField(std::string_view key, std::string_view value) : key_(key), text_(value), quoted_(true) {}
  LogField(std::string_view key, const std::string& value)
      : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, const char* value) : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, bool value) : key_(key), text_(value ? "true" : "false") {}
  LogField(std::string_view key, std::integral auto value)
      : key_(key), text_(std::to_string(value)) {}
  LogField(std::string_view key, const absl::Status& status)
      : key_(key), text_(status.ToString()), quoted_(true) {}

  std::string_view key() const { return key_; }
  const std::string& text() const { return text_; }
  bool quoted() const { return quoted_; }

 private:
  std::string_view key_;
  std::string text_;
  bool quoted_ = false;
};

// For the whole process; text and kInfo until told otherwise.
void SetLogLevel(LogLevel level);
void SetLogFormat(LogFormat format);
// Looks whether standard error is the journal. Once, before there are threads.
void FindJournal();
bool LogEnabled(LogLevel level);

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});

// One line with its newline, as Log writes it.
std::string FormatLogLine(LogFormat format, absl::Time time, LogLevel level,
                          std::string_view message, std::initializer_list<LogField> fields);

// `text` between double quotes with the escapes of JSON.
std::string QuoteForLog(std::string_view text);

}  // namespace ocid

#endif  // OCID_DAEMON_BASE_LOG_H_
