// What ocirun and its launch helper say to each other: orders and one report, each a SOCK_SEQPACKET
// datagram with descriptors. Both are built together, so that the layout is the compiler's.
//
//   ocirun                                     helper (launch_helper.cc)
//     kMakeNamespaces -----------------------> unshare, while ocirun goes on (optional)
//     kLaunch, plan and descriptors ---------> Launch (runtime/launch/launcher.h)
//     <------------- report, pidfd, console -- exits: ocirun is now the child's parent, or init is
//
// The helper is the only program of ours that a container ever sees: it is small, links no libc and
// runs from a sealed memfd, so that /proc/PID/exe in the container leads to nothing on the host
// that could be overwritten (CVE-2019-5736), not even for the moment in which an exec's process has
// entered the container and has not yet become the program.
#ifndef OCID_RUNTIME_CLI_LAUNCH_PROTOCOL_H_
#define OCID_RUNTIME_CLI_LAUNCH_PROTOCOL_H_

#include <cstddef>
#include <cstdint>

#include "runtime/launch/launcher.h"
#include "runtime/plan/plan_format.h"

namespace ocid {

// Which descriptors come with kLaunch, in this order; then `cgroup_procs_count` more.
enum OrderFd : uint32_t {
  kOrderPlan,  // required
  kOrderInput,
  kOrderOutput,
  kOrderError,
  kOrderCgroup,
  kOrderJoin,
  kOrderGate,
  kOrderFdCount,
};
inline constexpr size_t kMaxOrderFds = kOrderFdCount + kMaxCgroupProcs;

enum class OrderKind : uint32_t { kMakeNamespaces, kLaunch };

struct LaunchOrder {
  OrderKind kind = OrderKind::kLaunch;
  uint32_t present = 0;  // bits of OrderFd
  uint32_t cgroup_procs_count = 0;
  uint32_t preserve = 0;
  uint64_t namespaces = 0;  // of kMakeNamespaces: CLONE_NEW*
};

enum ReportFd : uint32_t { kReportPidfd, kReportConsole, kReportStatus, kReportFdCount };

struct LaunchReport {
  FailureRecord failure;
  int32_t pid = -1;
  uint32_t present = 0;  // bits of ReportFd
};

}  // namespace ocid

#endif  // OCID_RUNTIME_CLI_LAUNCH_PROTOCOL_H_
