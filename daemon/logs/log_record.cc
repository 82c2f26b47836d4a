#include "daemon/logs/log_record.h"

#include <array>
#include <charconv>
#include <optional>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"

namespace ocid {
namespace {

v1::LogEntry Lost(uint64_t bytes) {
  v1::LogEntry entry;
  entry.set_lost_bytes(bytes);
  return entry;
}

const std::string* FindString(const nlohmann::json& record, const char* key) {
  const auto found = record.find(key);
  return found == record.end() ? nullptr : found->get_ptr<const std::string*>();
}

bool SetTime(const std::string& text, v1::LogEntry& entry) {
  absl::Time time;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, nullptr)) return false;
  const int64_t seconds = absl::ToUnixSeconds(time);
  entry.mutable_time()->set_seconds(seconds);
  entry.mutable_time()->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return true;
}

bool SetData(const nlohmann::json& record, v1::LogEntry& entry) {
  const std::string* data = FindString(record, "log");
  const std::string* exact = FindString(record, "log_base64");
  if (exact != nullptr) return absl::Base64Unescape(*exact, entry.mutable_data());
  if (data == nullptr) return false;
  entry.set_data(*data);
  return true;
}

}  // namespace

namespace {

// "TIME STREAM TAGS TEXT", where tags are separated by ':' and the first is F or P. A line's newline is
// not a part of the text; whether the last line of a stream had one is not told.
v1::LogEntry ParseCriRecord(std::string_view line) {
  std::array<std::string_view, 3> words;
  std::string_view rest = line;
  for (std::string_view& word : words) {
    const size_t space = rest.find(' ');
    if (space == std::string_view::npos) return Lost(line.size());
    word = rest.substr(0, space);
    rest.remove_prefix(space + 1);
  }
  const auto [time, stream, tags] = words;
  v1::LogEntry entry;
  if (!SetTime(std::string(time), entry)) return Lost(line.size());
  constexpr std::string_view kDropped = "F:ocid.dropped=";
  if (tags.starts_with(kDropped)) {
    uint64_t dropped = 0;
    const std::string_view number = tags.substr(kDropped.size());
    const auto [end, error] =
        std::from_chars(number.data(), number.data() + number.size(), dropped);
    if (error != std::errc() || end != number.data() + number.size()) return Lost(line.size());
    entry.set_lost_bytes(dropped);
    return entry;
  }
  const std::string_view tag = tags.substr(0, tags.find(':'));
  if ((tag != "F" && tag != "P") || (stream != "stdout" && stream != "stderr")) {
    return Lost(line.size());
  }
  entry.set_stream(stream == "stdout" ? v1::LOG_STREAM_STDOUT : v1::LOG_STREAM_STDERR);
  entry.set_partial(tag == "P");
  entry.set_data(std::string(rest));
  if (!entry.partial()) entry.mutable_data()->push_back('\n');
  return entry;
}

}  // namespace

v1::LogEntry ParseLogRecord(std::string_view line) {
  if (!line.starts_with('{')) return ParseCriRecord(line);
  const nlohmann::json record = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  v1::LogEntry entry;
  if (!record.is_object()) return Lost(line.size());
  const std::string* const time = FindString(record, "time");
  if (time == nullptr || !SetTime(*time, entry)) return Lost(line.size());
  if (const auto dropped = record.find("dropped_bytes");
      dropped != record.end() && dropped->is_number_unsigned()) {
    entry.set_lost_bytes(dropped->get<uint64_t>());
    return entry;
  }
  const std::string* stream = FindString(record, "stream");
  if (stream == nullptr || !SetData(record, entry)) return Lost(line.size());
  if (*stream == "stdout") {
    entry.set_stream(v1::LOG_STREAM_STDOUT);
  } else if (*stream == "stderr") {
    entry.set_stream(v1::LOG_STREAM_STDERR);
  } else {
    return Lost(line.size());
  }
  const auto partial = record.find("partial");
  entry.set_partial(partial != record.end() && partial->is_boolean() && partial->get<bool>());
  return entry;
}

}  // namespace ocid
