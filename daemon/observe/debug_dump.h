// DebugDump: everything that the daemon is doing, as one JSON document for whoever looks for a defect.
//
//   version, time, config, process {memory, descriptors by kind, threads with where each waits},
//   containers [{id, state, pid, supervisor_pid, queued}], connections by peer, queues, events, audit
//
// It holds no environment and no arguments of containers. Thread-safe. Blocks on /proc.
#ifndef OCID_DAEMON_OBSERVE_DEBUG_DUMP_H_
#define OCID_DAEMON_OBSERVE_DEBUG_DUMP_H_

#include <string>

#include "absl/status/statusor.h"
#include "daemon/observe/metrics.h"

namespace ocid {

// At most so many containers are listed; `containers_total` counts all.
inline constexpr int kMaxDumpedContainers = 10000;

// `config`: as --check-config prints it.
std::string DebugDump(const Metrics::Sources& sources, const std::string& config);

// Writes a dump to a new file, DIRECTORY/debug-TIME.json (mode 0600), and returns its path.
absl::StatusOr<std::string> WriteDebugDump(const std::string& directory, const std::string& dump);

}  // namespace ocid

#endif  // OCID_DAEMON_OBSERVE_DEBUG_DUMP_H_
