// The address of a daemon, as --address and OCID_ADDRESS have it.
//
//   unix:///run/ocid/ocid.sock     an absolute path
//   unix:ocid.sock                 a path as it is; relative ones start at the working directory
//   /run/ocid/ocid.sock            the same as unix:///run/ocid/ocid.sock
//   tcp://host:port, tcp://[::1]:port                                   TCP: needs TLS credentials
//   dns:///host:port, ipv4:1.2.3.4:port, ipv6:[::1]:port, host:port     the same in gRPC's words
//
// A value: thread-compatible, nothing blocks. Source: gRPC's naming.md.
#ifndef OCID_CLIENT_ADDRESS_H_
#define OCID_CLIENT_ADDRESS_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace ocid {

inline constexpr std::string_view kDefaultAddress = "unix:///run/ocid/ocid.sock";

struct Address {
  std::string text;       // as it was given, for messages
  std::string target;     // for grpc::CreateCustomChannel
  std::string unix_path;  // empty: not a unix socket

  bool is_unix() const { return !unix_path.empty(); }
};

// INVALID_ARGUMENT where `text` has none of the forms above, or a path is too long for a socket.
absl::StatusOr<Address> ParseAddress(std::string_view text);

// Why a unix socket cannot be connected to, from one connect(2): "No such file or directory". Empty
// where it can. Does not block longer than a full accept queue makes it.
std::string ProbeUnixSocket(const std::string& path);

}  // namespace ocid

#endif  // OCID_CLIENT_ADDRESS_H_
