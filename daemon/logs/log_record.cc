#include "daemon/logs/log_record.h"

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

bool SetTime(const nlohmann::json& record, v1::LogEntry& entry) {
  const std::string* text = FindString(record, "time");
  absl::Time time;
  if (text == nullptr || !absl::ParseTime(absl::RFC3339_full, *text, &time, nullptr)) return false;
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

v1::LogEntry ParseLogRecord(std::string_view line) {
  const nlohmann::json record = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  v1::LogEntry entry;
  if (!record.is_object() || !SetTime(record, entry)) return Lost(line.size());
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
