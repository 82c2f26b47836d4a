// AttachStream: the daemon's end of an attached process's input and output.
//
// Frames of the socket that SupervisorHandle::Attach returns (SOCK_SEQPACKET: one frame, one
// message): stdout and stderr with their byte offsets and the exit from the supervisor; stdin and
// its end to the supervisor. The format is AttachFrameHeader of
// runtime/supervisor/control_protocol.h.
//
// Input is taken as far as the supervisor has room for it (kStdinWindow beyond what the process has
// read); frames tell when there is more. Who confirms what it received may be lost with any number of
// bytes on the way to it, and resume.
//
// Thread-compatible; Read may run on one thread and WriteStdin, CloseStdin and StdinTaken on another,
// and SendReceived on any of them, one at a time. Nothing blocks: fd() is non-blocking, poll it. To detach, drop the object: the process goes on, its stdin
// stays open, and another attach may resume from offset + length of the last frame.
#ifndef OCID_RUNTIME_HOST_ATTACH_STREAM_H_
#define OCID_RUNTIME_HOST_ATTACH_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"
#include "runtime/supervisor/control_protocol.h"
#include "runtime/supervisor/exit_record.h"

namespace ocid {

struct AttachFrame {
  enum class Kind {
    kNothing,  // no frame is waiting: poll for reading
    kStdout,   // a tty's only stream, too
    kStderr,
    kExit,      // the process is gone and its output has been delivered; the last frame
    kDetached,  // somebody else attached, or the exec was removed; the last frame
    kClosed,    // the supervisor is gone
    kOpened,    // where everything goes on; the first frame
    kStdinTaken,  // `offset`: of input, up to which the process has it
  };
  Kind kind = Kind::kNothing;
  uint64_t offset = 0;  // of the first byte; larger than expected where output was skipped
  std::string bytes;
  ExitRecord exit;  // kExit
  AttachOpened opened;  // kOpened
};

class AttachStream {
 public:
  explicit AttachStream(UniqueFd fd);

  BorrowedFd fd() const { return fd_; }

  // DATA_LOSS for a frame that does not parse.
  absl::StatusOr<AttachFrame> Read();

  // From now on there is room for kStdinWindow bytes beyond `offset`; `accepted` of all input have
  // been sent. To be told what kOpened and kStdinTaken say.
  void StdinOpened(uint64_t accepted, uint64_t taken);
  void StdinTaken(uint64_t taken);
  bool HasRoomForStdin() const { return stdin_sent_ < stdin_taken_ + kStdinWindow; }

  // Returns how many bytes were taken: less than there are when there is no room, or the socket is
  // full: poll for writing. UNAVAILABLE when the other end is closed.
  absl::StatusOr<size_t> WriteStdin(std::string_view bytes);

  // Half close: the process reads the end of its input (a tty: its end-of-file character). False
  // when the socket is full: poll for writing, and call again.
  absl::StatusOr<bool> CloseStdin();

  // The client has both streams up to here. False when the socket is full: poll for writing, and call
  // again.
  bool SendReceived(uint64_t stdout_offset, uint64_t stderr_offset);

 private:
  UniqueFd fd_;
  uint64_t stdin_sent_ = 0;
  uint64_t stdin_taken_ = 0;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_HOST_ATTACH_STREAM_H_
