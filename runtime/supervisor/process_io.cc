#include "runtime/supervisor/process_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "runtime/supervisor/clock.h"

namespace ocid {
namespace {

constexpr size_t kReadSize = 65536;

// Less room than this is not worth a read.
constexpr size_t kMinRoom = 16384;

// The kernel doubles it, and accepts one more frame as long as it is not full: a client has at most
// kMaxInFlight bytes unread. That many older than the last byte sent are always kept, so that a
// client that is lost with frames unread, and did not say what it received, can resume without a gap.
constexpr int kClientSendBuffer = 49152;  // doubled, it must be larger than a frame
constexpr size_t kMaxInFlight = 2 * kClientSendBuffer + kMaxAttachPayload;
static_assert(kMaxInFlight + kMinRoom < Scrollback::kCapacity);

// Of input: how much more the process has to take before that is told.
constexpr uint64_t kStdinReportStep = 32768;

constexpr char kEndOfFileCharacter = 4;  // VEOF of a terminal that nobody has changed

// Shared by all processes: nothing stays in it between two calls.
alignas(8) char g_buffer[kReadSize > sizeof(AttachFrameHeader) + kMaxAttachPayload
                             ? kReadSize
                             : sizeof(AttachFrameHeader) + kMaxAttachPayload];

int SetNonblocking(BorrowedFd fd) {
  const int flags = fcntl(fd.get(), F_GETFL);
  if (flags < 0 || fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) return errno;
  return 0;
}

int MakePipe(UniqueFd* read_end, UniqueFd* write_end) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return errno;
  read_end->reset(ends[0]);
  write_end->reset(ends[1]);
  return 0;
}

}  // namespace

ProcessIo::ProcessIo(EventLoop* loop, LogWriter* log) : loop_(loop), log_(log) {
  for (Stream& stream : streams_) {
    stream.io = this;
    stream.watcher.ready = &ProcessIo::StreamReady;
    stream.watcher.owner = &stream;
    if (log_ == nullptr) stream.scrollback.Keep();
  }
  stdin_watcher_.ready = &ProcessIo::StdinReady;
  stdin_watcher_.owner = this;
  client_watcher_.ready = &ProcessIo::ClientReady;
  client_watcher_.owner = this;
}

ProcessIo::~ProcessIo() {
  for (Stream& stream : streams_) loop_->Stop(&stream.watcher);
  loop_->Stop(&stdin_watcher_);
  if (client_.valid()) {
    SendFrame(AttachFrameType::kDetached, 0, nullptr, 0);
    DropClient();
  }
  free(stdin_bytes_);
}

int ProcessIo::MakePipes(bool open_stdin, ChildEnds* child) {
  if (open_stdin) {
    int error = MakePipe(&child->standard_input, &stdin_);
    if (error == 0) error = SetNonblocking(stdin_);
    if (error != 0) return error;
  }
  UniqueFd* const write_ends[2] = {&child->standard_output, &child->standard_error};
  for (int i = 0; i < 2; ++i) {
    UniqueFd read_end;
    int error = MakePipe(&read_end, write_ends[i]);
    if (error == 0) error = WatchStream(streams_[i], std::move(read_end));
    if (error != 0) return error;
  }
  return 0;
}

int ProcessIo::AdoptConsole(UniqueFd master) {
  tty_ = true;
  // Who joins it later wants to see the screen.
  streams_[0].scrollback.Keep();
  stdin_.reset(fcntl(master.get(), F_DUPFD_CLOEXEC, 0));
  if (!stdin_.valid()) return errno;
  console_peer_.reset(ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  return WatchStream(streams_[0], std::move(master));
}

int ProcessIo::WatchStream(Stream& stream, UniqueFd fd) {
  int error = SetNonblocking(fd);
  if (error == 0) error = loop_->Watch(&stream.watcher, fd, EPOLLIN);
  if (error != 0) return error;
  stream.fd = std::move(fd);
  stream.ended = false;
  return 0;
}

void ProcessIo::StreamReady(void* stream_pointer, uint32_t) {
  Stream& stream = *static_cast<Stream*>(stream_pointer);
  ProcessIo& io = *stream.io;
  io.ReadStream(stream);
  if (io.log_ != nullptr) io.log_->Flush();
  io.SendToClient();
}

// How much may be read now without losing bytes that the client is still to get.
size_t ProcessIo::RoomFor(const Stream& stream) const {
  if ((!client_.valid() && hold_until_ == 0) || client_lags_) return kReadSize;
  const size_t max_behind =
      client_confirms_ ? Scrollback::kCapacity : Scrollback::kCapacity - kMaxInFlight;
  const uint64_t behind =
      stream.scrollback.end() - (client_confirms_ ? stream.received : stream.sent);
  const size_t room = behind < max_behind ? max_behind - static_cast<size_t>(behind) : 0;
  return room < kReadSize ? room : kReadSize;
}

ProcessIo::ReadResult ProcessIo::ReadStream(Stream& stream) {
  if (stream.ended) return ReadResult::kEnded;
  const size_t room = RoomFor(stream);
  if (room < kMinRoom) {
    UpdateReading(stream);
    return ReadResult::kNothing;
  }
  const ssize_t size = read(stream.fd.get(), g_buffer, room);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return ReadResult::kNothing;
  if (size <= 0) {  // EIO: every end of the console is closed
    EndStream(stream);
    return ReadResult::kEnded;
  }
  stream.scrollback.Append(g_buffer, static_cast<size_t>(size));
  if (log_ != nullptr) {
    log_->Append(index(stream) == 0 ? LogStream::kStdout : LogStream::kStderr, g_buffer,
                 static_cast<size_t>(size));
  }
  UpdateReading(stream);
  return ReadResult::kData;
}

void ProcessIo::EndStream(Stream& stream) {
  loop_->Stop(&stream.watcher);
  stream.fd.reset();
  stream.ended = true;
  stream.lag_since = 0;
  if (log_ != nullptr) log_->Finish(index(stream) == 0 ? LogStream::kStdout : LogStream::kStderr);
  if (exited_ && drained()) output_complete_ = true;
}

void ProcessIo::UpdateReading(Stream& stream) {
  if (stream.ended) return;
  if (RoomFor(stream) >= kMinRoom) {
    stream.lag_since = 0;
    loop_->Watch(&stream.watcher, stream.fd, EPOLLIN);
    return;
  }
  loop_->Stop(&stream.watcher);
  if (stream.lag_since == 0) stream.lag_since = MonotonicNow();
}

int ProcessIo::Attach(const uint64_t (&offsets)[2], UniqueFd* client) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return errno;
  }
  UniqueFd ours(ends[0]);
  client->reset(ends[1]);
  setsockopt(ours.get(), SOL_SOCKET, SO_SNDBUF, &kClientSendBuffer, sizeof(kClientSendBuffer));

  if (client_.valid()) SendFrame(AttachFrameType::kDetached, 0, nullptr, 0);
  DropClient();
  hold_until_ = 0;
  const int error = loop_->Watch(&client_watcher_, ours, EPOLLIN);
  if (error != 0) return error;
  client_ = std::move(ours);
  client_confirms_ = false;
  AttachOpened opened;
  opened.stdin_accepted = stdin_accepted_;
  opened.stdin_taken = stdin_reported_ = stdin_taken();
  for (int i = 0; i < 2; ++i) {
    Stream& stream = streams_[i];
    stream.scrollback.Keep();
    const uint64_t end = stream.scrollback.end();
    stream.sent = offsets[i] < end ? offsets[i] : end;
    if (stream.sent < stream.scrollback.begin()) stream.sent = stream.scrollback.begin();
    stream.received = stream.sent;
    opened.output_offsets[i] = stream.sent;
  }
  SendFrame(AttachFrameType::kOpened, 0, &opened, sizeof(opened));
  SendToClient();
  return 0;
}

void ProcessIo::DropClient() {
  const bool may_resume = client_.valid() && !client_lags_ && !output_complete_;
  const int64_t delay = log_ == nullptr ? kResumeDelayNs : kInitResumeDelayNs;
  hold_until_ = may_resume ? MonotonicNow() + delay : 0;
  loop_->Stop(&client_watcher_);
  client_.reset();
  client_full_ = false;
  client_lags_ = false;
  if (StdinWaiting() == 0) {
    free(stdin_bytes_);
    stdin_bytes_ = nullptr;
    stdin_size_ = stdin_done_ = 0;
  }
  for (Stream& stream : streams_) UpdateReading(stream);
}

// False if the client is full or gone.
bool ProcessIo::SendFrame(AttachFrameType type, uint64_t offset, const void* payload, size_t size) {
  const AttachFrameHeader header = {
      .type = static_cast<uint32_t>(type),
      .length = static_cast<uint32_t>(size),
      .offset = offset,
  };
  iovec parts[2] = {
      {const_cast<AttachFrameHeader*>(&header), sizeof(header)},
      {const_cast<void*>(payload), size},
  };
  msghdr message = {};
  message.msg_iov = parts;
  message.msg_iovlen = size > 0 ? 2 : 1;
  while (true) {
    if (sendmsg(client_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return true;
    if (errno == EINTR) continue;
    client_full_ = errno == EAGAIN || errno == ENOBUFS;
    return false;
  }
}

void ProcessIo::SendToClient() {
  if (!client_.valid() || client_full_) return;
  if (!ReportStdin()) return client_full_ ? UpdateClientInterest() : DropClient();
  for (int i = 0; i < 2; ++i) {
    Stream& stream = streams_[i];
    const Scrollback& kept = stream.scrollback;
    while (stream.sent < kept.end()) {
      if (stream.sent < kept.begin()) {
        stream.sent = kept.begin();
        continue;
      }
      size_t size = 0;
      const char* piece = kept.Piece(stream.sent, &size);
      if (size > kMaxAttachPayload) size = kMaxAttachPayload;
      if (!SendFrame(i == 0 ? AttachFrameType::kStdout : AttachFrameType::kStderr, stream.sent,
                     piece, size)) {
        return client_full_ ? UpdateClientInterest() : DropClient();
      }
      stream.sent += size;
    }
    UpdateReading(stream);
  }
  if (!client_confirms_) client_lags_ = false;
  if (!output_complete_) return;
  if (SendFrame(AttachFrameType::kExit, 0, &exit_, sizeof(exit_)) || !client_full_) {
    DropClient();
  } else {
    UpdateClientInterest();
  }
}

void ProcessIo::UpdateClientInterest() {
  if (!client_.valid()) return;
  loop_->Watch(&client_watcher_, client_, client_full_ ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void ProcessIo::ClientReady(void* self, uint32_t events) {
  auto* io = static_cast<ProcessIo*>(self);
  const bool readable = (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0;
  if (readable) io->ReadFromClient();
  if ((events & EPOLLOUT) != 0 && io->client_.valid()) {
    io->client_full_ = false;
    io->UpdateClientInterest();
    io->SendToClient();
  }
}

void ProcessIo::ReadFromClient() {
  const ssize_t size = recv(client_.get(), g_buffer, sizeof(g_buffer), MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  AttachFrameHeader header;
  if (size <= 0 || !ParseFrame(g_buffer, static_cast<size_t>(size), &header)) return DropClient();
  switch (static_cast<AttachFrameType>(header.type)) {
    case AttachFrameType::kStdin:
      return TakeStdin(g_buffer + sizeof(header), header.length);
    case AttachFrameType::kStdinEnd:
      return CloseStdin();
    case AttachFrameType::kReceived:
      return TakeReceived(g_buffer + sizeof(header), header.length);
    default:
      return DropClient();
  }
}

void ProcessIo::TakeReceived(const char* payload, size_t size) {
  ReceivedBody body;
  if (size < sizeof(body)) return DropClient();
  memcpy(&body, payload, sizeof(body));
  client_confirms_ = true;
  for (int i = 0; i < 2; ++i) {
    Stream& stream = streams_[i];
    if (body.offsets[i] > stream.sent) return DropClient();
    if (body.offsets[i] > stream.received) stream.received = body.offsets[i];
  }
  // One that was not waited for any more is waited for again when it has caught up.
  const auto behind = [](const Stream& stream) { return stream.scrollback.end() - stream.received; };
  constexpr uint64_t kCaughtUp = Scrollback::kCapacity / 2;
  if (behind(streams_[0]) < kCaughtUp && behind(streams_[1]) < kCaughtUp) client_lags_ = false;
  for (Stream& stream : streams_) UpdateReading(stream);
}

void ProcessIo::TakeStdin(const char* bytes, size_t size) {
  if (size > kStdinWindow - StdinWaiting()) return DropClient();
  stdin_accepted_ += size;
  // What comes after the end, or when nobody reads any more, is dropped.
  if (stdin_.valid() && !stdin_end_) {
    const size_t written = StdinWaiting() == 0 ? WriteStdin(bytes, size) : 0;
    bytes += written;
    size -= written;
  } else {
    size = 0;
  }
  if (size > 0 && stdin_.valid()) {
    if (stdin_bytes_ == nullptr) stdin_bytes_ = static_cast<char*>(malloc(kStdinWindow));
    if (stdin_bytes_ == nullptr) return DropClient();
    if (size > kStdinWindow - stdin_size_) {
      memmove(stdin_bytes_, stdin_bytes_ + stdin_done_, StdinWaiting());
      stdin_size_ -= stdin_done_;
      stdin_done_ = 0;
    }
    memcpy(stdin_bytes_ + stdin_size_, bytes, size);
    stdin_size_ += size;
    loop_->Watch(&stdin_watcher_, stdin_, EPOLLOUT);
  }
  SendToClient();
}

// How many bytes the process took. Closes the input where nobody reads it any more.
size_t ProcessIo::WriteStdin(const char* bytes, size_t size) {
  while (true) {
    const ssize_t written = write(stdin_.get(), bytes, size);
    if (written >= 0) return static_cast<size_t>(written);
    if (errno == EINTR) continue;
    if (errno != EAGAIN) DropStdin();
    return 0;
  }
}

void ProcessIo::DropStdin() {
  loop_->Stop(&stdin_watcher_);
  free(stdin_bytes_);
  stdin_bytes_ = nullptr;
  stdin_size_ = stdin_done_ = 0;
  stdin_end_ = false;
  stdin_.reset();
}

void ProcessIo::CloseStdin() {
  if (!stdin_.valid()) return;
  stdin_end_ = true;
  FlushStdin();
}

void ProcessIo::StdinReady(void* self, uint32_t) { static_cast<ProcessIo*>(self)->FlushStdin(); }

// Writes what waits, then does what is due after it.
void ProcessIo::FlushStdin() {
  while (StdinWaiting() > 0) {
    const size_t written = WriteStdin(stdin_bytes_ + stdin_done_, StdinWaiting());
    if (written == 0) break;
    stdin_done_ += written;
  }
  if (StdinWaiting() > 0) {
    loop_->Watch(&stdin_watcher_, stdin_, EPOLLOUT);
    return SendToClient();
  }
  stdin_size_ = stdin_done_ = 0;
  loop_->Stop(&stdin_watcher_);
  if (stdin_end_ && tty_ && stdin_.valid()) {
    stdin_end_ = false;
    WriteStdin(&kEndOfFileCharacter, 1);
  } else if (stdin_end_) {
    DropStdin();
  }
  SendToClient();
}

bool ProcessIo::ReportStdin() {
  const uint64_t more = stdin_taken() - stdin_reported_;
  if (more == 0 || (more < kStdinReportStep && StdinWaiting() > 0)) return true;
  if (!SendFrame(AttachFrameType::kStdinTaken, stdin_taken(), nullptr, 0)) return false;
  stdin_reported_ = stdin_taken();
  return true;
}

int ProcessIo::Resize(uint16_t rows, uint16_t columns) {
  if (!tty_ || !stdin_.valid()) return ENOTTY;
  winsize size = {};
  size.ws_row = rows;
  size.ws_col = columns;
  return ioctl(stdin_.get(), TIOCSWINSZ, &size) == 0 ? 0 : errno;
}

void ProcessIo::ProcessExited(const ExitRecord& exit, int64_t now_ns) {
  exited_ = true;
  exit_ = exit;
  exit_deadline_ = now_ns + kDrainDelayNs;
  console_peer_.reset();
  ReadRest();
  if (drained()) output_complete_ = true;
  if (log_ != nullptr) log_->Flush();
  SendToClient();
}

void ProcessIo::ReadRest() {
  for (Stream& stream : streams_) {
    // Bounded, in case a straggler writes as fast as this reads.
    for (int i = 0; i < 64 && ReadStream(stream) == ReadResult::kData; ++i) SendToClient();
  }
}

int64_t ProcessIo::Tick(int64_t now_ns) {
  int64_t next = -1;
  if (log_ != nullptr && !client_lags_) {
    for (const Stream& stream : streams_) {
      if (stream.lag_since == 0) continue;
      const int64_t due = stream.lag_since + kLagDelayNs;
      if (due <= now_ns) client_lags_ = true;
      if (due > now_ns && (next < 0 || due < next)) next = due;
    }
    if (client_lags_) {
      for (Stream& stream : streams_) UpdateReading(stream);
    }
  }
  if (hold_until_ != 0 && hold_until_ <= now_ns) {
    hold_until_ = 0;
    for (Stream& stream : streams_) UpdateReading(stream);
  }
  if (hold_until_ != 0) next = hold_until_;
  if (!exited_ || output_complete_) return next;
  if (now_ns < exit_deadline_) return next < 0 || exit_deadline_ < next ? exit_deadline_ : next;
  // Held up by its client, the output is not complete yet: look again a little later.
  for (const Stream& stream : streams_) {
    if (stream.lag_since != 0) return now_ns + kLagDelayNs;
  }
  output_complete_ = true;
  SendToClient();
  return next;
}

}  // namespace ocid
