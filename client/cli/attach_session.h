// One process's standard streams, joined to ours: what `run` and `exec` do in the foreground.
//
//   main thread      reads the stream, writes standard output and error, confirms what it wrote
//   input thread     reads standard input, writes the stream; waits where the process does not read
//   signal thread    turns signals into Kill and Resize calls, so that they pass an input that waits
//
// When the daemon restarts in the middle, the session attaches again from the bytes it has, and sends
// again the input that did not arrive: no byte of either is lost or doubled.
//
// A terminal is put back whatever ends the session. With one, SIGHUP and SIGTERM are ours: they end
// the session and leave the process running, as keys are what reaches it.
//
// When the reader of our standard output goes away while the process writes, the process gets
// SIGPIPE, and SIGKILL where it writes on for a second: the end that a program of ours would have
// had.
//
// Belongs to the main thread; SignalRelay::Block() must have been called before the client was
// made.
#ifndef OCID_CLIENT_CLI_ATTACH_SESSION_H_
#define OCID_CLIENT_CLI_ATTACH_SESSION_H_

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/output.h"
#include "client/cli/signals.h"
#include "client/cli/terminal.h"
#include "client/client.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace ocid::cli {

struct AttachTarget {
  std::string container_id;
  std::string exec_id;      // empty: the container's main process
  bool start_exec = false;  // start the exec with the first attachment
  bool send_stdin = false;
  bool terminal = false;
  DetachKeys detach_keys = {};  // with a terminal
};

struct AttachEnd {
  bool detached = false;  // the process runs on
  int signal = 0;         // that ended the session; 0: the user pressed the detach keys
  v1::ExitStatus exit;    // else how it ended
};

// 0, or what a shell has for a program that the signal ended.
int DetachedCode(const AttachEnd& end);

// --detach-keys
void AddDetachKeys(CLI::App& app, std::string& keys);

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
  void ResumeInput(uint64_t arrived);
  // Reads until the stream ends; true where it ended with the process.
  bool Pump(v1::ExitStatus& exit);
  void Write(int fd, std::string_view bytes);
  void ConfirmOutput();
  bool Send(const v1::AttachRequest& request);
  void SendSignal(int signal);
  absl::Status Reattach(const absl::Status& lost, std::optional<RawTerminal>& raw);
  absl::StatusOr<v1::ExitStatus> WaitForExit();
  void ReadInput();
  bool SendInput(std::string bytes);
  void TakeInputTaken(uint64_t offset);
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
  size_t unconfirmed_output_ = 0;

  absl::Time reader_gone_ = absl::InfiniteFuture();  // when our standard output was closed

  std::thread input_thread_;
  UniqueFd stop_input_;
  bool input_ended_ = false;  // of the input thread, and of the main thread while there is none
  bool attached_before_ = false;

  // Input that was sent and is not known to be taken, in pieces.
  Mutex input_mutex_;
  CondVar input_taken_;
  std::deque<std::string> sent_input_ ABSL_GUARDED_BY(input_mutex_);
  uint64_t sent_input_begin_ ABSL_GUARDED_BY(input_mutex_) = 0;  // offset of the first piece
  uint64_t sent_input_end_ ABSL_GUARDED_BY(input_mutex_) = 0;
  uint64_t input_taken_offset_ ABSL_GUARDED_BY(input_mutex_) = 0;
  bool input_stops_ ABSL_GUARDED_BY(input_mutex_) = false;

  Mutex stream_mutex_;  // over its replacement, and cancels of other threads
  Mutex write_mutex_;   // a stream has one writer at a time
  std::atomic<bool> detached_ = false;
  std::atomic<bool> given_up_ = false;  // a signal came while the daemon was away
  std::atomic<int> end_signal_ = 0;
};

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_ATTACH_SESSION_H_
