// ProcessList: what /proc says about processes, as the API shows it.
//
// A process that ends while it is looked at is left out. Thread-safe; reads /proc.
// Source: proc(5).
#ifndef OCID_DAEMON_CONTAINER_PROCESS_LIST_H_
#define OCID_DAEMON_CONTAINER_PROCESS_LIST_H_

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/ocid/v1/container.pb.h"

namespace ocid {

// Fields of /proc/PID/stat; nothing where the text does not parse. `comm` may hold spaces and
// parentheses.
struct ProcessStat {
  std::string comm;
  char state = '?';
  pid_t parent = 0;
  uint64_t cpu_ticks = 0;  // user and system
  uint64_t start_time = 0;
  uint64_t resident_pages = 0;
};
std::optional<ProcessStat> ParseProcessStat(std::string_view text);

// `exec_pids`: the execs' own processes; what they started is told by its ancestors.
v1::ListProcessesResponse ListProcesses(const std::vector<pid_t>& pids,
                                        const std::map<pid_t, std::string>& exec_pids);

// For people: "123 (cp, state D, in nfs_wait_bit_killable)", where the last is the function of the
// kernel that it waits in (proc_pid_wchan(5)).
std::string DescribeProcess(pid_t pid);

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_PROCESS_LIST_H_
