// Readiness notifications of a container for the service manager that runs ocirun.
//
//   create: a folder of the container's state is mounted where NOTIFY_SOCKET of our environment says,
//           and the program's NOTIFY_SOCKET names the socket "notify" in it
//   start:  the socket is made there; READY=1 that comes in is passed on to our own NOTIFY_SOCKET
//
// As crun has it: nothing else of what the program says is passed on, so that it cannot speak for the
// service. Thread-compatible. Source: sd_notify(3).
#ifndef OCID_RUNTIME_CLI_NOTIFY_SOCKET_H_
#define OCID_RUNTIME_CLI_NOTIFY_SOCKET_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"
#include "runtime/cli/container_state.h"
#include "runtime/oci/oci_spec.h"

namespace ocid {

// Without effect if there is no NOTIFY_SOCKET in the environment.
absl::Status AddNotifySocket(const StateDirectory& state, OciSpec& spec);

class NotifyProxy {
 public:
  // Not active if the container was not created with a socket, or nobody asks.
  static absl::StatusOr<NotifyProxy> Open(const StateDirectory& state);

  bool active() const { return socket_.valid(); }
  // Readable when something came in.
  BorrowedFd fd() const { return socket_; }

  // Takes what came in. True when the program is ready and that was passed on: nothing more is to be
  // expected, and the proxy is no longer active.
  bool Forward(pid_t pid);

  // Until the program is ready, or the process of `pidfd` has ended.
  void WaitUntilReady(pid_t pid, BorrowedFd pidfd);

 private:
  UniqueFd socket_;
  std::string host_;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_CLI_NOTIFY_SOCKET_H_
