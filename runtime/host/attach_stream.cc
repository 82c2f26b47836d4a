#include "runtime/host/attach_stream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "runtime/supervisor/control_protocol.h"

namespace ocid {
namespace {

// The whole frame is sent or nothing: one message of a SOCK_SEQPACKET socket. False when it is
// full.
absl::StatusOr<bool> SendFrame(BorrowedFd fd, AttachFrameType type, std::string_view payload) {
  AttachFrameHeader header;
  header.type = static_cast<uint32_t>(type);
  header.length = static_cast<uint32_t>(payload.size());
  iovec parts[2] = {
      {&header, sizeof(header)},
      {const_cast<char*>(payload.data()), payload.size()},
  };
  msghdr message = {};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  while (sendmsg(fd.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == ENOBUFS) return false;
    return absl::UnavailableError("attached stream: the other end is closed");
  }
  return true;
}

absl::Status Malformed() { return absl::DataLossError("attached stream: malformed frame"); }

}  // namespace

AttachStream::AttachStream(UniqueFd fd) : fd_(std::move(fd)) {}

absl::StatusOr<AttachFrame> AttachStream::Read() {
  AttachFrame frame;
  AttachFrameHeader header;
  frame.bytes.resize(sizeof(header) + kMaxAttachPayload);
  ssize_t size;
  do {
    size = recv(fd_.get(), frame.bytes.data(), frame.bytes.size(), MSG_DONTWAIT);
    // ECONNRESET: the other end was closed with frames of ours unread. It comes once, and before the
    // frames that were sent to us: unix(7), and sock_error() in the kernel's datagram receive.
  } while (size < 0 && (errno == EINTR || errno == ECONNRESET));
  if (size < 0 && errno == EAGAIN) {
    frame.bytes.clear();
    return frame;
  }
  if (size <= 0) {
    frame.bytes.clear();
    frame.kind = AttachFrame::Kind::kClosed;
    return frame;
  }
  frame.bytes.resize(static_cast<size_t>(size));
  if (!ParseFrame(frame.bytes.data(), frame.bytes.size(), &header)) return Malformed();
  frame.bytes.erase(0, sizeof(header));
  frame.offset = header.offset;
  switch (static_cast<AttachFrameType>(header.type)) {
    case AttachFrameType::kStdout:
      frame.kind = AttachFrame::Kind::kStdout;
      return frame;
    case AttachFrameType::kStderr:
      frame.kind = AttachFrame::Kind::kStderr;
      return frame;
    case AttachFrameType::kDetached:
      frame.kind = AttachFrame::Kind::kDetached;
      return frame;
    case AttachFrameType::kExit:
      if (frame.bytes.size() < sizeof(frame.exit)) return Malformed();
      memcpy(&frame.exit, frame.bytes.data(), sizeof(frame.exit));
      frame.bytes.clear();
      frame.kind = AttachFrame::Kind::kExit;
      return frame;
    case AttachFrameType::kOpened:
      if (frame.bytes.size() < sizeof(frame.opened)) return Malformed();
      memcpy(&frame.opened, frame.bytes.data(), sizeof(frame.opened));
      frame.bytes.clear();
      frame.kind = AttachFrame::Kind::kOpened;
      return frame;
    case AttachFrameType::kStdinTaken:
      frame.kind = AttachFrame::Kind::kStdinTaken;
      return frame;
    default:
      return Malformed();
  }
}

void AttachStream::StdinOpened(uint64_t accepted, uint64_t taken) {
  stdin_sent_ = accepted;
  stdin_taken_ = taken;
}

void AttachStream::StdinTaken(uint64_t taken) { stdin_taken_ = taken; }

bool AttachStream::SendReceived(uint64_t stdout_offset, uint64_t stderr_offset) {
  const ReceivedBody body = {.offsets = {stdout_offset, stderr_offset}};
  const std::string_view bytes(reinterpret_cast<const char*>(&body), sizeof(body));
  // A stream that is closed is found out by Read.
  return SendFrame(fd_, AttachFrameType::kReceived, bytes).value_or(true);
}

absl::StatusOr<size_t> AttachStream::WriteStdin(std::string_view bytes) {
  size_t done = 0;
  while (done < bytes.size() && HasRoomForStdin()) {
    const uint64_t room = stdin_taken_ + kStdinWindow - stdin_sent_;
    const std::string_view piece = bytes.substr(done, std::min<uint64_t>(room, kMaxAttachPayload));
    const absl::StatusOr<bool> sent = SendFrame(fd_, AttachFrameType::kStdin, piece);
    if (!sent.ok() && done == 0) return sent.status();
    if (!sent.ok() || !*sent) break;
    done += piece.size();
    stdin_sent_ += piece.size();
  }
  return done;
}

absl::StatusOr<bool> AttachStream::CloseStdin() {
  return SendFrame(fd_, AttachFrameType::kStdinEnd, {});
}

}  // namespace ocid
