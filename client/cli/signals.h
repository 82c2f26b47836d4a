// Signals: their names, and a thread that hands on those that ocictl gets while it stands in for a
// container's process.
//
// Source: signal(7), signalfd(2).
#ifndef OCID_CLIENT_CLI_SIGNALS_H_
#define OCID_CLIENT_CLI_SIGNALS_H_

#include <signal.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace ocid::cli {

// "SIGTERM"; "SIGRTMIN+3"; the number where it has no name.
std::string SignalName(int signal);

// Gets SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 and SIGWINCH of the process on a thread
// of its own and calls the handler there. While there is no handler, SIGWINCH is dropped and the
// others end the process at once, with 128 + signal: there is nothing yet to hand them to, and a
// call that hangs must be left with Ctrl-C.
//
// Block() must have been called before any other thread was started: a thread that does not block
// the signals would get them with their default action. Thread-compatible.
class SignalRelay {
 public:
  // Blocks the signals above in the calling thread and in those it will start.
  static void Block();

  static absl::StatusOr<std::unique_ptr<SignalRelay>> Start();
  ~SignalRelay();
  SignalRelay(const SignalRelay&) = delete;
  SignalRelay& operator=(const SignalRelay&) = delete;

  // Replaces the handler; nullptr takes it away. Waits for one that runs.
  void SetHandler(std::function<void(int)> handler);

 private:
  SignalRelay(UniqueFd signals, UniqueFd stop);
  void Loop();
  void Deliver(int signal);

  UniqueFd signals_;
  UniqueFd stop_;
  Mutex mutex_;
  std::function<void(int)> handler_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_SIGNALS_H_
