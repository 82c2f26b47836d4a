#include "runtime/cgroup/cgroup_stats.h"

#include <charconv>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/cgroup/text.h"

namespace ocid {
namespace {

absl::Status Malformed(std::string_view what, std::string_view line) {
  return absl::DataLossError(absl::StrCat("malformed ", AsAbsl(what), ": \"", AsAbsl(line), "\""));
}

// "key=value" of a token.
std::pair<std::string_view, std::string_view> KeyAndValue(std::string_view token) {
  const size_t equals = token.find('=');
  if (equals == std::string_view::npos) return {token, {}};
  return {token.substr(0, equals), token.substr(equals + 1)};
}

bool ParseDevice(std::string_view text, IoDeviceStats& device) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return false;
  const auto major = ParseNumber<uint32_t>(text.substr(0, colon));
  const auto minor = ParseNumber<uint32_t>(text.substr(colon + 1));
  if (!major || !minor) return false;
  device.major = *major;
  device.minor = *minor;
  return true;
}

bool ParsePressureField(std::string_view token, PressureLine& line) {
  const auto [key, value] = KeyAndValue(token);
  if (key == "total") {
    const auto microseconds = ParseNumber<uint64_t>(value);
    if (!microseconds) return false;
    line.total_ns = *microseconds * 1000;
    return true;
  }
  double number = 0;
  const auto [rest, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || rest != value.data() + value.size()) return false;
  if (key == "avg10") line.avg10 = number;
  if (key == "avg60") line.avg60 = number;
  if (key == "avg300") line.avg300 = number;
  return true;
}

using DeviceNumber = std::pair<uint32_t, uint32_t>;

// Adds the "MAJOR:MINOR Read|Write|Discard NUMBER" lines of a v1 blkio file.
absl::Status AddBlkio(std::string_view text, uint64_t IoDeviceStats::*read,
                      uint64_t IoDeviceStats::*write, uint64_t IoDeviceStats::*discard,
                      std::map<DeviceNumber, IoDeviceStats>& devices) {
  for (const std::string_view line : SplitText(text, '\n')) {
    const std::vector<std::string_view> words = SplitText(line, ' ');
    if (words.size() != 3) continue;  // "Total 0"
    IoDeviceStats parsed;
    const auto number = ParseNumber<uint64_t>(words[2]);
    if (!number || !ParseDevice(words[0], parsed)) return Malformed("blkio", line);
    IoDeviceStats& device = devices[{parsed.major, parsed.minor}];
    device.major = parsed.major;
    device.minor = parsed.minor;
    if (words[1] == "Read") device.*read = *number;
    if (words[1] == "Write") device.*write = *number;
    if (words[1] == "Discard") device.*discard = *number;
  }
  return absl::OkStatus();
}

}  // namespace

std::map<std::string, uint64_t> ParseFlatKeyed(std::string_view text) {
  std::map<std::string, uint64_t> values;
  for (const std::string_view line : SplitText(text, '\n')) {
    const size_t space = line.find(' ');
    if (space == std::string_view::npos) continue;
    const auto number = ParseNumber<uint64_t>(line.substr(space + 1));
    if (number) values.emplace(line.substr(0, space), *number);
  }
  return values;
}

absl::StatusOr<std::optional<uint64_t>> ParseLimit(std::string_view text) {
  const std::string_view word = StripSpace(text);
  if (word == "max") return std::optional<uint64_t>();
  const auto number = ParseNumber<uint64_t>(word);
  if (!number) return Malformed("limit", word);
  return number;
}

absl::StatusOr<Pressure> ParsePressure(std::string_view text) {
  Pressure pressure;
  for (const std::string_view line : SplitText(text, '\n')) {
    const std::vector<std::string_view> words = SplitText(line, ' ');
    if (words.empty() || (words[0] != "some" && words[0] != "full")) continue;
    PressureLine& target = words[0] == "some" ? pressure.some : pressure.full;
    for (size_t i = 1; i < words.size(); ++i) {
      if (!ParsePressureField(words[i], target)) return Malformed("pressure", line);
    }
  }
  return pressure;
}

absl::StatusOr<std::vector<IoDeviceStats>> ParseIoStat(std::string_view text) {
  std::vector<IoDeviceStats> devices;
  for (const std::string_view line : SplitText(text, '\n')) {
    const std::vector<std::string_view> words = SplitText(line, ' ');
    IoDeviceStats device;
    if (words.empty() || !ParseDevice(words[0], device)) return Malformed("io.stat", line);
    for (size_t i = 1; i < words.size(); ++i) {
      const auto [key, value] = KeyAndValue(words[i]);
      const auto number = ParseNumber<uint64_t>(value);
      if (!number) continue;  // cost.* and later additions have other shapes
      if (key == "rbytes") device.read_bytes = *number;
      if (key == "wbytes") device.write_bytes = *number;
      if (key == "dbytes") device.discard_bytes = *number;
      if (key == "rios") device.read_operations = *number;
      if (key == "wios") device.write_operations = *number;
      if (key == "dios") device.discard_operations = *number;
    }
    devices.push_back(device);
  }
  return devices;
}

absl::StatusOr<std::vector<IoDeviceStats>> ParseBlkio(std::string_view bytes,
                                                      std::string_view operations) {
  std::map<DeviceNumber, IoDeviceStats> devices;
  absl::Status status = AddBlkio(bytes, &IoDeviceStats::read_bytes, &IoDeviceStats::write_bytes,
                                 &IoDeviceStats::discard_bytes, devices);
  if (!status.ok()) return status;
  status = AddBlkio(operations, &IoDeviceStats::read_operations, &IoDeviceStats::write_operations,
                    &IoDeviceStats::discard_operations, devices);
  if (!status.ok()) return status;
  std::vector<IoDeviceStats> list;
  for (const auto& [number, device] : devices) list.push_back(device);
  return list;
}

}  // namespace ocid
