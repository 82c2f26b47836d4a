// What /proc says of a process: memory, descriptors, threads, CPU time.
//
// Thread-safe. Blocks on /proc. Source: proc(5).
#ifndef OCID_DAEMON_OBSERVE_PROCESS_FACTS_H_
#define OCID_DAEMON_OBSERVE_PROCESS_FACTS_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ocid {

struct ProcessFacts {
  uint64_t resident_bytes = 0;
  uint64_t virtual_bytes = 0;
  uint64_t descriptors = 0;
  uint64_t max_descriptors = 0;
  uint64_t threads = 0;
  double cpu_seconds = 0;
  double start_time_seconds = 0;  // since the Unix epoch
};

// Of this process.
ProcessFacts ReadProcessFacts();

// Its proportional share of memory: what it would free. 0 where the process is gone or not ours to ask.
uint64_t ReadPssBytes(pid_t pid);

struct ThreadFacts {
  pid_t id = 0;
  std::string name;
  std::string state;  // one letter
  std::string waits;  // where in the kernel; empty: the kernel does not say
};
std::vector<ThreadFacts> ReadThreads();

// Open descriptors by what they are: "socket", "pipe", "anon_inode:[eventfd]", or a path.
std::map<std::string, uint64_t> ReadDescriptors();

}  // namespace ocid

#endif  // OCID_DAEMON_OBSERVE_PROCESS_FACTS_H_
