// Values as people write and read them: sizes, times, users, mounts.
//
// Parse... return INVALID_ARGUMENT naming the text and what was expected. Functions of values
// (ParseTime and Format...Ago get the present time as an argument): thread-compatible, nothing
// blocks.
#ifndef OCID_CLIENT_CLI_TEXT_H_
#define OCID_CLIENT_CLI_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/ocid/v1/types.pb.h"

namespace ocid::cli {

// "64m" = 64 MiB; k, m, g, t, optionally with "b" or "ib", are powers of 1024. "-1": unlimited.
absl::StatusOr<int64_t> ParseSize(std::string_view text);

// "10" = 10 s, "1.5s", "2m30s". Not negative.
absl::StatusOr<absl::Duration> ParseDuration(std::string_view text);

// A time (RFC 3339, "2026-11-22", seconds since 1970) or how long before `now` ("10m").
absl::StatusOr<absl::Time> ParseTime(std::string_view text, absl::Time now);

// "KEY=VALUE". The value may be empty, the key not.
absl::StatusOr<std::pair<std::string, std::string>> ParseKeyValue(std::string_view text);

// "UID" or "UID:GID". Names are not looked up: only the container knows its own.
absl::StatusOr<v1::User> ParseUser(std::string_view text);

// "type=bind,src=/srv,dst=/data,ro" or "/srv:/data:ro". Without a type: bind. What is no known key
// is a mount option. A relative source is taken from `working_directory`.
absl::StatusOr<v1::Mount> ParseMount(std::string_view text, const std::string& working_directory);

// "no", "on-failure", "on-failure:5", "always", "unless-stopped".
absl::StatusOr<v1::RestartPolicy> ParseRestartPolicy(std::string_view text);

// "nofile=1024:2048" or "RLIMIT_NOFILE=1024".
absl::StatusOr<v1::Rlimit> ParseRlimit(std::string_view text);

// "1.5 GiB", "512 B".
std::string FormatSize(uint64_t bytes);

// The two largest units: "2m30s", "3h5m", "850ms".
std::string FormatShort(absl::Duration duration);

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_TEXT_H_
