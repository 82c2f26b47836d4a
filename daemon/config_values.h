// Values of the configuration as text: what `ocid --help` calls PATH, N, DURATION, BOOL, SIZE and so on.
//
// Each Set... stores what the text means, or returns INVALID_ARGUMENT quoting the text and saying what is
// wanted, and leaves the field alone; a Check... only says so. Pure.
#ifndef OCID_DAEMON_CONFIG_VALUES_H_
#define OCID_DAEMON_CONFIG_VALUES_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ocid {

absl::Status CheckAbsolutePath(const std::string& value);
absl::Status SetNumber(int& field, const std::string& value, int min, int max);
// More than 0, at most 24 hours, and from `min` to `max`.
absl::Status SetDuration(absl::Duration& field, const std::string& value, absl::Duration min,
                         absl::Duration max);
absl::Status SetBool(bool& field, const std::string& value);

// "512MiB": bytes, or a number with k, m, g or t, with or without "ib" or "b", in powers of 1024.
absl::Status SetSize(uint64_t& field, const std::string& value, uint64_t min, uint64_t max);
// As SetSize reads it, in the largest unit that divides it.
std::string FormatSize(uint64_t bytes);

// A registry, "registry.example:5000", and a URL: "HOST=https://mirror.example".
absl::StatusOr<std::pair<std::string, std::string>> ParseMirror(const std::string& value);
// A registry's name as references have it.
absl::Status CheckRegistryHost(const std::string& value);

}  // namespace ocid

#endif  // OCID_DAEMON_CONFIG_VALUES_H_
