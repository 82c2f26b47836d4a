// Names in the daemon's two directories.
//
//   <root>/                       durable, 0700
//     lock                        held by the daemon that uses the directory
//     containers/<id>/
//       record                    ContainerRecord; its presence is the container's existence
//       exit                      how the init ended (runtime/supervisor/exit_record.h)
//       log, log.1, ...           the init's output
//     quarantine/<id>.<unix ns>/  what could not be read at a start
//     events/                     the event log's segments
//   <state>/                      of this boot; a tmpfs in production, 0700
//     lock
//     containers/<id>/
//       state                     RuntimeState
//       supervisor.sock
//       execs/<exec id>           ExecIntent
//     networks/<id>               a network namespace (daemon/nri/pod_networks.h)
//
// `*.tmp` is a file on its way; after a crash it is debris.
#ifndef OCID_DAEMON_STORE_STORE_LAYOUT_H_
#define OCID_DAEMON_STORE_STORE_LAYOUT_H_

#include <string>
#include <string_view>

namespace ocid {

inline constexpr std::string_view kLockName = "lock";
inline constexpr std::string_view kContainersName = "containers";
inline constexpr std::string_view kQuarantineName = "quarantine";
inline constexpr std::string_view kEventsName = "events";
inline constexpr std::string_view kRecordName = "record";
inline constexpr std::string_view kStateName = "state";
inline constexpr std::string_view kExecsName = "execs";
inline constexpr std::string_view kNetworksName = "networks";

inline constexpr size_t kMaxIdLength = 128;

// Whether `id` may name a container or an exec: 1 to 128 characters, a letter, digit, '_', '+' or '-'
// first, then those and '.'. Such a name is a single path component and never "." or "..".
inline bool IsValidId(std::string_view id) {
  if (id.empty() || id.size() > kMaxIdLength || id.front() == '.') return false;
  for (const char c : id) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '_' || c == '+' || c == '-' || c == '.';
    if (!good) return false;
  }
  return true;
}

inline std::string JoinPath(std::string_view a, std::string_view b) {
  std::string path(a);
  path += '/';
  path += b;
  return path;
}

}  // namespace ocid

#endif  // OCID_DAEMON_STORE_STORE_LAYOUT_H_
