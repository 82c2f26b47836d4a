// SystemdClient: the few requests to systemd's manager that scopes need, over sd-bus.
//
// The system bus as root, the user's bus otherwise. Each request takes an idle connection or makes
// one, so that a slow request holds up no other; a connection that broke (the bus was restarted) is
// replaced, and what systemd did not answer because it executes itself anew (daemon-reexec) is asked again
// when it is back. Thread-safe. Calls block until systemd has answered, and where said until it has done
// the job, at most for the timeout that Open was given. Errors: SYSTEMD_FAILED, with "unit" and the
// D-Bus "error"; DEADLINE_EXCEEDED when systemd was too slow, UNAVAILABLE when there is no bus.
// Sources: org.freedesktop.systemd1(5), sd-bus(3), systemd.io/CONTROL_GROUP_INTERFACE.
#ifndef OCID_RUNTIME_CGROUP_SYSTEMD_CLIENT_H_
#define OCID_RUNTIME_CGROUP_SYSTEMD_CLIENT_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/mutex.h"
#include "runtime/cgroup/unit_property.h"

namespace ocid {

class SystemdConnection;

class SystemdClient {
 public:
  enum class Use {
    kServer,  // UNAVAILABLE if systemd does not answer now
    kOnce,    // for a program that makes a request or two, if any: it asks for nothing before
  };
  static absl::StatusOr<std::unique_ptr<SystemdClient>> Open(absl::Duration timeout,
                                                             Use use = Use::kServer);
  ~SystemdClient();
  SystemdClient(const SystemdClient&) = delete;
  SystemdClient& operator=(const SystemdClient&) = delete;

  // Where in the tree this systemd's units are, as a prefix: "", "/user.slice/...".
  const std::string& control_group() const { return control_group_; }

  // A request will follow: the bus can accept the connection while the caller prepares it. Does not
  // wait.
  void Connect();

  // Starts a transient scope that holds `pid`, and waits for the job. A failed unit of that name is
  // reset first; a live one is ALREADY_EXISTS, CGROUP_BUSY.
  absl::Status StartScope(const std::string& unit, pid_t pid,
                          const std::vector<UnitProperty>& properties);

  // Stops the unit and waits for the job. Success if there is no such unit.
  absl::Status StopUnit(const std::string& unit);

  // Asks systemd to stop the unit and does not wait: it may know the unit for a moment longer. What it
  // answers is not known.
  void RequestStop(const std::string& unit);

  // Changes properties of a running unit, until it ends.
  absl::Status SetProperties(const std::string& unit, const std::vector<UnitProperty>& properties);

  // "active", "failed", ...; NOT_FOUND if systemd does not know the unit.
  absl::StatusOr<std::string> ActiveState(const std::string& unit);

  // The time that requests have taken so far, for benchmarks.
  absl::Duration TimeSpent() const;

 private:
  explicit SystemdClient(absl::Duration timeout);

  class Lease;
  template <typename Request>
  auto Insist(const Request& request);
  absl::Status StartInsistently(const std::string& unit, pid_t pid,
                                const std::vector<UnitProperty>& properties);
  absl::Status StartOnce(const std::string& unit, pid_t pid,
                         const std::vector<UnitProperty>& properties);
  absl::StatusOr<std::string> AskControlGroup();
  absl::Status ResetFailed(const std::string& unit);

  const absl::Duration timeout_;
  std::string control_group_;
  mutable Mutex mutex_;
  std::vector<std::unique_ptr<SystemdConnection>> idle_ ABSL_GUARDED_BY(mutex_);
  absl::Duration time_spent_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_SYSTEMD_CLIENT_H_
