// CgroupEvents: tells when a container's cgroup runs empty, is frozen, or had a process killed for
// lack of memory.
//
//   auto events = CgroupEvents::Open(cgroup->Paths());
//   ... add events->fd() to an epoll set for EPOLLIN (level-triggered); when it is ready:
//   auto state = events->Read();      // compare with what the last Read said
//
// It watches cgroup.events and memory.events of cgroup2 by inotify, and on a v1 memory cgroup an
// eventfd of memory.oom_control. One descriptor stands for all of them. It needs the paths alone,
// so that another process than the one that made the cgroup can watch it. Ownership: of its
// descriptors. Thread-compatible. Nothing blocks. Sources: cgroup-v2.rst "populated",
// "memory.events"; cgroup-v1/memory.rst "OOM Control"; inotify(7).
#ifndef OCID_RUNTIME_CGROUP_CGROUP_EVENTS_H_
#define OCID_RUNTIME_CGROUP_CGROUP_EVENTS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"
#include "runtime/cgroup/cgroup.h"

namespace ocid {

class CgroupEvents {
 public:
  struct State {
    bool exists = false;
    bool populated = false;
    bool frozen = false;
    uint64_t oom_kills = 0;  // 0 without a memory cgroup

    friend bool operator==(const State&, const State&) = default;
  };

  static absl::StatusOr<std::unique_ptr<CgroupEvents>> Open(const std::vector<CgroupPath>& paths);
  CgroupEvents(const CgroupEvents&) = delete;
  CgroupEvents& operator=(const CgroupEvents&) = delete;

  // Readable when something may have changed since the last Read.
  BorrowedFd fd() const { return epoll_; }

  // Takes what made fd() readable, then says what holds now. A cgroup that is gone is a state.
  absl::StatusOr<State> Read();

 private:
  CgroupEvents() = default;

  UniqueFd epoll_;
  UniqueFd inotify_;
  UniqueFd unified_;      // directory in cgroup2
  UniqueFd v1_memory_;    // directory, if the container has one
  UniqueFd oom_eventfd_;  // of v1_memory_
};

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_CGROUP_EVENTS_H_
