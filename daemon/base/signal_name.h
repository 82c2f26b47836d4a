// Signals by name: "SIGTERM", "TERM", "RTMIN+3", or by number: "15".
//
// Pure and thread-safe. Source: signal(7).
#ifndef OCID_DAEMON_BASE_SIGNAL_NAME_H_
#define OCID_DAEMON_BASE_SIGNAL_NAME_H_

#include <optional>
#include <string_view>

namespace ocid {

// The signal's number, from 1 to 64; upper and lower case are the same. Nothing for other text.
std::optional<int> ParseSignal(std::string_view text);

}  // namespace ocid

#endif  // OCID_DAEMON_BASE_SIGNAL_NAME_H_
