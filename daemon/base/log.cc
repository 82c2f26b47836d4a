#include "daemon/base/log.h"

#include <sys/stat.h>
#include <sys/syslog.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "daemon/base/log_context.h"

namespace ocid {
namespace {

constexpr std::array<std::string_view, 4> kLevelNames = {"debug", "info", "warning", "error"};
constexpr std::array<std::string_view, 4> kLevelTags = {"DEBUG ", "INFO  ", "WARN  ", "ERROR "};
constexpr std::array<std::string_view, 2> kFormatNames = {"text", "json"};

std::atomic<LogLevel> g_level = LogLevel::kInfo;
std::atomic<LogFormat> g_format = LogFormat::kText;
std::atomic<bool> g_journal = false;

// The length of the UTF-8 sequence at the start of `text`; 0 if there is none. RFC 3629: no
// overlong forms, no surrogates, nothing above U+10FFFF.
size_t Utf8Length(std::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xc2 && first <= 0xdf   ? 2
                        : first >= 0xe0 && first <= 0xef ? 3
                        : first >= 0xf0 && first <= 0xf4 ? 4
                                                         : 0;
  if (length == 0 || length > text.size()) return 0;
  const unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

// C1 controls (U+0080 to U+009F) drive terminals as C0 ones do.
bool IsC1Control(std::string_view sequence) {
  return sequence.size() == 2 && sequence[0] == '\xc2' &&
         static_cast<unsigned char>(sequence[1]) < 0xa0;
}

void AppendUnicodeEscape(unsigned value, std::string& out) {
  constexpr char kHex[] = "0123456789abcdef";
  out += "\\u00";
  out += kHex[value >> 4 & 15];
  out += kHex[value & 15];
}

void AppendEscaped(std::string_view text, std::string& out) {
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    const std::string_view piece = text.substr(0, length == 0 ? 1 : length);
    text.remove_prefix(piece.size());
    const char c = piece[0];
    if (length == 0) {
      out += "\\ufffd";
    } else if (IsC1Control(piece)) {
      AppendUnicodeEscape(static_cast<unsigned char>(piece[1]), out);
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      AppendUnicodeEscape(static_cast<unsigned char>(c), out);
    } else {
      out += piece;
    }
  }
}

void AppendQuoted(std::string_view text, std::string& out) {
  out += '"';
  AppendEscaped(text, out);
  out += '"';
}

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", time, absl::UTCTimeZone());
}

template <typename Enum, size_t n>
absl::StatusOr<Enum> ParseName(const std::array<std::string_view, n>& names, std::string_view name,
                               absl::string_view what) {
  std::string known;
  for (size_t i = 0; i < n; ++i) {
    if (names[i] == name) return static_cast<Enum>(i);
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(names[i]));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(QuoteForLog(name), " is not a ", what, " (", known, ")"));
}

// "container" -> "CONTAINER_ID=", "socket" -> "OCID_SOCKET=": upper case, digits and '_' alone.
std::string JournalKey(std::string_view key) {
  if (key == "container") return "CONTAINER_ID=";
  std::string name = "OCID_";
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    name += absl::ascii_isalnum(byte) ? absl::ascii_toupper(byte) : '_';
  }
  return name + "=";
}

bool SendToJournal(LogLevel level, std::string_view message,
                   std::initializer_list<LogField> fields, const LogContext* context) {
  constexpr std::array<int, 4> kPriorities = {LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR};
  std::string text;
  AppendEscaped(message, text);
  std::vector<std::string> entries;
  for (const LogField& field : fields) {
    text += ' ';
    AppendEscaped(field.key(), text);
    text += '=';
    if (field.quoted()) {
      AppendQuoted(field.text(), text);
    } else {
      text += field.text();
    }
    entries.push_back(JournalKey(field.key()) + field.text());
  }
  entries.push_back(absl::StrCat("MESSAGE=", text));
  entries.push_back(absl::StrCat("PRIORITY=", kPriorities[static_cast<size_t>(level)]));
  entries.push_back("SYSLOG_IDENTIFIER=ocid");
  if (context != nullptr) {
    entries.push_back("RPC_METHOD=" + context->method);
    if (!context->trace_id.empty()) entries.push_back("TRACE_ID=" + context->trace_id);
  }
  std::vector<iovec> parts;
  for (std::string& entry : entries) parts.push_back({entry.data(), entry.size()});
  return sd_journal_sendv(parts.data(), static_cast<int>(parts.size())) == 0;
}

}  // namespace

std::string_view LogLevelName(LogLevel level) { return kLevelNames[static_cast<size_t>(level)]; }

std::string_view LogFormatName(LogFormat format) {
  return kFormatNames[static_cast<size_t>(format)];
}

absl::StatusOr<LogLevel> ParseLogLevel(std::string_view name) {
  return ParseName<LogLevel>(kLevelNames, name, "log level");
}

absl::StatusOr<LogFormat> ParseLogFormat(std::string_view name) {
  return ParseName<LogFormat>(kFormatNames, name, "log format");
}

void SetLogLevel(LogLevel level) { g_level.store(level, std::memory_order_relaxed); }
void SetLogFormat(LogFormat format) { g_format.store(format, std::memory_order_relaxed); }
bool LogEnabled(LogLevel level) { return level >= g_level.load(std::memory_order_relaxed); }

std::string QuoteForLog(std::string_view text) {
  std::string out;
  AppendQuoted(text, out);
  return out;
}

std::string FormatLogLine(LogFormat format, absl::Time time, LogLevel level,
                          std::string_view message, std::initializer_list<LogField> fields) {
  std::string line;
  if (format == LogFormat::kJson) {
    absl::StrAppend(&line, "{\"time\":\"", TimeText(time), "\",\"level\":\"");
    line += LogLevelName(level);
    line += "\",\"msg\":";
    AppendQuoted(message, line);
    for (const LogField& field : fields) {
      line += ',';
      AppendQuoted(field.key(), line);
      line += ':';
      if (field.quoted()) {
        AppendQuoted(field.text(), line);
      } else {
        line += field.text();
      }
    }
    line += "}\n";
    return line;
  }
  absl::StrAppend(&line, TimeText(time), " ");
  line += kLevelTags[static_cast<size_t>(level)];
  AppendEscaped(message, line);
  for (const LogField& field : fields) {
    line += ' ';
    AppendEscaped(field.key(), line);
    line += '=';
    if (field.quoted()) {
      AppendQuoted(field.text(), line);
    } else {
      line += field.text();
    }
  }
  line += '\n';
  return line;
}

void FindJournal() {
  // "DEVICE:INODE" of the stream, so that a redirected standard error is not taken for it.
  const char* const stream = getenv("JOURNAL_STREAM");
  struct stat status;
  if (stream == nullptr || fstat(STDERR_FILENO, &status) != 0) return;
  g_journal = absl::StrCat(status.st_dev, ":", status.st_ino) == stream;
}

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (!LogEnabled(level)) return;
  const std::shared_ptr<const LogContext>& context = CurrentLogContext();
  if (g_journal.load(std::memory_order_relaxed)) {
    if (SendToJournal(level, message, fields, context.get())) return;
  }
  const LogFormat format = g_format.load(std::memory_order_relaxed);
  std::string line = FormatLogLine(format, absl::Now(), level, message, fields);
  if (context != nullptr && !context->trace_id.empty()) {
    // The digits were checked; nothing in them needs an escape.
    line.resize(line.size() - (format == LogFormat::kJson ? 2 : 1));
    if (format == LogFormat::kJson) {
      absl::StrAppend(&line, ",\"trace_id\":\"", context->trace_id, "\"}\n");
    } else {
      absl::StrAppend(&line, " trace_id=\"", context->trace_id, "\"\n");
    }
  }
  ssize_t written;
  do {
    written = write(STDERR_FILENO, line.data(), line.size());
  } while (written < 0 && errno == EINTR);
}

}  // namespace ocid
