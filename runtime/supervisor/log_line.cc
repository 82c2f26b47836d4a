#include "runtime/supervisor/log_line.h"

#include <string.h>

#include "runtime/supervisor/fixed_text.h"

namespace ocid {
namespace {

bool IsContinuation(unsigned char byte) { return (byte & 0xc0) == 0x80; }

// Length of the well-formed UTF-8 sequence that `bytes` begins with; 0 if there is none.
size_t SequenceLength(const unsigned char* bytes, size_t size) {
  const unsigned char lead = bytes[0];
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (size < length) return 0;
  // The second byte's range excludes overlong forms, surrogates and what lies above U+10FFFF.
  const unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (bytes[1] < low || bytes[1] > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (!IsContinuation(bytes[i])) return 0;
  }
  return length;
}

char* Put(char* out, const char* text, size_t size) {
  memcpy(out, text, size);
  return out + size;
}

template <size_t N>
char* PutLiteral(char* out, const char (&text)[N]) {
  return Put(out, text, N - 1);
}

char* PutAscii(char* out, unsigned char byte) {
  switch (byte) {
    case '"':
      return PutLiteral(out, "\\\"");
    case '\\':
      return PutLiteral(out, "\\\\");
    case '\n':
      return PutLiteral(out, "\\n");
    case '\r':
      return PutLiteral(out, "\\r");
    case '\t':
      return PutLiteral(out, "\\t");
    default:
      break;
  }
  if (byte >= 0x20 && byte != 0x7f) {
    *out = static_cast<char>(byte);
    return out + 1;
  }
  out = PutLiteral(out, "\\u00");
  *out++ = "0123456789abcdef"[byte >> 4];
  *out++ = "0123456789abcdef"[byte & 15];
  return out;
}

// Sets *stray if a byte had to be replaced.
char* PutEscaped(char* out, const unsigned char* bytes, size_t size, bool* stray) {
  for (size_t at = 0; at < size;) {
    const size_t length = SequenceLength(bytes + at, size - at);
    if (length == 1) {
      out = PutAscii(out, bytes[at]);
      ++at;
    } else if (length == 0) {
      *stray = true;
      out = PutLiteral(out, "\xef\xbf\xbd");
      ++at;
    } else {
      out = Put(out, reinterpret_cast<const char*>(bytes + at), length);
      at += length;
    }
  }
  return out;
}

char* PutBase64(char* out, const unsigned char* bytes, size_t size) {
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t at = 0; at < size; at += 3) {
    const size_t left = size - at;
    const uint32_t triple = static_cast<uint32_t>(bytes[at]) << 16 |
                            (left > 1 ? static_cast<uint32_t>(bytes[at + 1]) << 8 : 0) |
                            (left > 2 ? static_cast<uint32_t>(bytes[at + 2]) : 0);
    *out++ = kAlphabet[triple >> 18];
    *out++ = kAlphabet[(triple >> 12) & 63];
    *out++ = left > 1 ? kAlphabet[(triple >> 6) & 63] : '=';
    *out++ = left > 2 ? kAlphabet[triple & 63] : '=';
  }
  return out;
}

struct Date {
  int64_t year;
  int month;
  int day;
};

// Days since 1970-01-01 to the proleptic Gregorian calendar, by eras of 400 years that begin in
// March: howardhinnant.github.io/date_algorithms.html, civil_from_days.
Date DateOf(int64_t days) {
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const int64_t day_of_era = days - era * 146097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t march_month = (5 * day_of_year + 2) / 153;
  const int month = static_cast<int>(march_month < 10 ? march_month + 3 : march_month - 9);
  return Date{
      .year = year_of_era + era * 400 + (month <= 2 ? 1 : 0),
      .month = month,
      .day = static_cast<int>(day_of_year - (153 * march_month + 2) / 5 + 1),
  };
}

}  // namespace

void FormatTimestamp(int64_t seconds, int32_t nanoseconds, char (&out)[kTimestampSize]) {
  int64_t days = seconds / 86400;
  int64_t second_of_day = seconds % 86400;
  if (second_of_day < 0) {
    second_of_day += 86400;
    --days;
  }
  const Date date = DateOf(days);
  FixedText text(out, sizeof(out));
  text.Unsigned(static_cast<uint64_t>(date.year), 4).Text("-");
  text.Unsigned(static_cast<uint64_t>(date.month), 2).Text("-");
  text.Unsigned(static_cast<uint64_t>(date.day), 2).Text("T");
  text.Unsigned(static_cast<uint64_t>(second_of_day / 3600), 2).Text(":");
  text.Unsigned(static_cast<uint64_t>(second_of_day / 60 % 60), 2).Text(":");
  text.Unsigned(static_cast<uint64_t>(second_of_day % 60), 2).Text(".");
  text.Unsigned(static_cast<uint64_t>(nanoseconds), 9).Text("Z");
}

namespace {

size_t EncodeCriLine(const LogLine& line, const char (&timestamp)[kTimestampSize], char* out) {
  char* at = Put(out, timestamp, kTimestampSize);
  at = line.stream == LogStream::kStdout ? PutLiteral(at, " stdout ") : PutLiteral(at, " stderr ");
  at = line.partial ? PutLiteral(at, "P ") : PutLiteral(at, "F ");
  at = Put(at, line.bytes, line.size);
  if (line.size == 0 || line.bytes[line.size - 1] != '\n') *at++ = '\n';
  return static_cast<size_t>(at - out);
}

}  // namespace

size_t EncodeLogLine(LogFileFormat format, const LogLine& line,
                     const char (&timestamp)[kTimestampSize], char* out) {
  if (format == LogFileFormat::kCri) return EncodeCriLine(line, timestamp, out);
  const auto* bytes = reinterpret_cast<const unsigned char*>(line.bytes);
  char* at = PutLiteral(out, "{\"time\":\"");
  at = Put(at, timestamp, kTimestampSize);
  at = line.stream == LogStream::kStdout ? PutLiteral(at, "\",\"stream\":\"stdout\",\"log\":\"")
                                         : PutLiteral(at, "\",\"stream\":\"stderr\",\"log\":\"");
  bool stray = false;
  at = PutEscaped(at, bytes, line.size, &stray);
  *at++ = '"';
  if (line.partial) at = PutLiteral(at, ",\"partial\":true");
  if (stray) {
    at = PutLiteral(at, ",\"log_base64\":\"");
    at = PutBase64(at, bytes, line.size);
    *at++ = '"';
  }
  at = PutLiteral(at, "}\n");
  return static_cast<size_t>(at - out);
}

size_t EncodeDropMarker(LogFileFormat format, uint64_t dropped_bytes,
                        const char (&timestamp)[kTimestampSize], char* out) {
  FixedText text(out, 256);
  if (format == LogFileFormat::kCri) {
    text.Bytes(timestamp, kTimestampSize).Text(" stderr F:ocid.dropped=").Unsigned(dropped_bytes);
    text.Text(" ").Unsigned(dropped_bytes).Text(" bytes of output were lost\n");
    return text.length();
  }
  text.Text("{\"time\":\"").Bytes(timestamp, kTimestampSize);
  text.Text("\",\"stream\":\"supervisor\",\"log\":\"\",\"dropped_bytes\":");
  text.Unsigned(dropped_bytes).Text("}\n");
  return text.length();
}

size_t CutAtCharacter(const char* bytes, size_t size) {
  const auto* data = reinterpret_cast<const unsigned char*>(bytes);
  for (size_t back = 1; back <= 3 && back <= size; ++back) {
    const unsigned char byte = data[size - back];
    if (IsContinuation(byte)) continue;
    const size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 1;
    return length > back && back < size ? size - back : size;
  }
  return size;
}

}  // namespace ocid
