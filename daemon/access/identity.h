// Identity: who makes a call, as the connection proves it.
//
// A caller on this host is known by the kernel (SO_PEERCRED, SO_PEERGROUPS), one on another host by its
// certificate, which was verified. `name` is what owns containers and stands in the audit log: "uid:1000",
// "cn:alice". A value: thread-compatible.
#ifndef OCID_DAEMON_ACCESS_IDENTITY_H_
#define OCID_DAEMON_ACCESS_IDENTITY_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace ocid {

struct Identity {
  enum class Source {
    kUnknown,
    kSelf,  // the daemon calls itself
    kUnixSocket,
    kCertificate,
  };

  Source source = Source::kUnknown;
  std::string name = {};

  // ---- kUnixSocket
  pid_t pid = 0;
  uid_t uid = 0;
  std::vector<gid_t> gids = {};  // the primary one first

  // ---- kCertificate
  std::string common_name = {};
  std::vector<std::string> units = {};              // OU
  // "dns:host", "uri:spiffe://x", "email:a@b", "ip:10.0.0.1"
  std::vector<std::string> alternative_names = {};
  std::string serial = {};                       // hexadecimal
};

}  // namespace ocid

#endif  // OCID_DAEMON_ACCESS_IDENTITY_H_
