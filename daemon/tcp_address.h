// Addresses of TCP as the configuration has them. Pure: thread-compatible, nothing blocks.
#ifndef OCID_DAEMON_TCP_ADDRESS_H_
#define OCID_DAEMON_TCP_ADDRESS_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace ocid {

struct TcpAddress {
  std::string host;  // a name or an address, without brackets
  std::string port;
};

// "tcp://HOST:PORT", "tcp://[::1]:PORT". INVALID_ARGUMENT for all else.
absl::StatusOr<TcpAddress> ParseTcpAddress(std::string_view text);

}  // namespace ocid

#endif  // OCID_DAEMON_TCP_ADDRESS_H_
