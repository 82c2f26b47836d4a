// One process's standard streams, joined to ours: what `run` and `exec` do in the foreground.
//
//   main thread      reads the stream, writes standard output and error
//   input thread     reads standard input, writes the stream; blocks where the process does not
//   read signal thread    turns signals into Kill and Resize calls, so that they pass a blocked
//   input
//
// When the daemon restarts in the middle, the session attaches again from the bytes it has: no
// output is lost or doubled that the daemon still keeps.
//
// When the reader of our standard output goes away while the process writes, the process gets
// SIGPIPE, and SIGKILL where it writes on for a second: the end that a program of ours would have
// had.
//
// Belongs to the main thread; SignalRelay::Block() must have been called before the client was
// made.
#ifndef OCID_CLIENT_CLI_ATTACH_SESSION_H_
#define OCID_CLIENT_CLI_ATTACH_SESSION_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/output.h"
#include "client/cli/signals.h"
#include "client/cli/terminal.h"
#include "client/client.h"
#include "runtime/base/unique_fd.h"

namespace ocid::cli {

struct AttachTarget {
  std::string container_id;
  std::string exec_id;      // empty: the container's main process
  bool start_exec = false;  // start the exec with the first attachment
  bool send_stdin = false;
  bool terminal = false;
};

struct AttachEnd {
  bool detached = false;  // the user pressed the detach keys: the process runs on
  v1::ExitStatus exit;    // else how it ended
};

class AttachSession {
 public:
  // Attaches and returns when the daemon has said so: from then on no byte is missed, and signals
  // go to the process.
  static absl::StatusOr<std::unique_ptr<AttachSession>> Open(Client& client, Stdio stdio,
                                                             SignalRelay& signals,
                                                             AttachTarget target);
  ~AttachSession();
  AttachSession(const AttachSession&) = delete;
  AttachSession& operator=(const AttachSession&) = delete;

  // Joins the streams until the process has ended or the user has detached. Puts our terminal into
  // raw mode meanwhile, if the process has one.
  absl::StatusOr<AttachEnd> Run();

 private:
  AttachSession(Client& client, Stdio stdio, SignalRelay& signals, AttachTarget target);

  absl::Status Attach();
  // Reads until the stream ends; true where it ended with the process.
  bool Pump(v1::ExitStatus& exit);
  void Write(int fd, std::string_view bytes);
  void SendSignal(int signal);
  absl::Status Reattach(const absl::Status& lost);
  absl::StatusOr<v1::ExitStatus> WaitForExit();
  void ReadInput();
  void StartInput();
  void StopInput();
  void HandleSignal(int signal);
  void SendSize();

  Client& client_;
  const Stdio stdio_;
  SignalRelay& signals_;
  AttachTarget target_;
  std::unique_ptr<AttachStream> stream_;
  uint64_t stdout_offset_ = 0;
  uint64_t stderr_offset_ = 0;

  absl::Time reader_gone_ = absl::InfiniteFuture();  // when our standard output was closed

  std::thread input_thread_;
  UniqueFd stop_input_;
  bool input_ended_ = false;  // of the input thread, and of the main thread while there is none
  DetachKeys detach_keys_;    // likewise
  std::atomic<bool> detached_ = false;
  std::atomic<bool> given_up_ = false;  // a signal came while the daemon was away
};

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_ATTACH_SESSION_H_
