// ScopeAnchor: a process that does nothing, to begin a systemd scope with.
//
// systemd refuses a scope without a process, and the container's first process is to be born in the
// scope's cgroup, which does not exist before. The anchor holds the scope open in between. It is a
// small program of its own that blocks in read(2), and ends when the anchor is released, destroyed, or this
// process dies. Thread-compatible. Start blocks until that program is executed, some 100 microseconds.
#ifndef OCID_RUNTIME_CGROUP_SCOPE_ANCHOR_H_
#define OCID_RUNTIME_CGROUP_SCOPE_ANCHOR_H_

#include <sys/types.h>

#include <utility>

#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class ScopeAnchor {
 public:
  static absl::StatusOr<ScopeAnchor> Start();
  ScopeAnchor(ScopeAnchor&&) = default;
  ScopeAnchor& operator=(ScopeAnchor&&) = delete;
  ~ScopeAnchor() { Release(); }

  pid_t pid() const { return pid_; }

  // False once it was released, or killed by somebody.
  bool Alive() const;

  // Ends the process and reaps it. Idempotent.
  void Release();

 private:
  ScopeAnchor(pid_t pid, UniqueFd pidfd, UniqueFd hold)
      : pid_(pid), pidfd_(std::move(pidfd)), hold_(std::move(hold)) {}

  pid_t pid_;
  UniqueFd pidfd_;
  UniqueFd hold_;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_SCOPE_ANCHOR_H_
