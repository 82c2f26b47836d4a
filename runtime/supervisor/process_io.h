// ProcessIo: the standard input and output of one process of the container, and the client that is
// attached to it, if there is one.
//
//   process --pipe or pty--> scrollback (last 256 KiB of a stream) --> client, frame by frame
//                        \-> LogWriter (the init only)
//   client --frames--> standard input
//
// Output is read as it comes. A client that does not keep up holds reading up once it is a
// scrollback behind: an exec then waits for its client, for as long as that takes; the init waits
// kLagDelayNs and then runs on, with a gap in what the client gets. Nobody else is held up. When the
// client is lost, as it is when the daemon restarts, what it may not have seen is held for
// kResumeDelayNs (the init's: kInitResumeDelayNs), so that it can resume without a gap; without a
// client output runs through the scrollback, the newest over the oldest.
//
// A client is behind by what it was not sent or, once it has said what it received, by what it did not
// receive: however much is on the way to it, it can resume.
//
// Input is counted over all clients. Up to kStdinWindow bytes of it wait here for a process that does
// not read; clients are told how far the process is, and one that sends more is dropped.
//
// What the process wrote before its end is always delivered. Pipes may stay open after it, in the
// hands of whoever inherited them; kDrainDelayNs after its end the client is told of the exit all
// the same. Such stragglers' output is still read (and logged).
//
// Thread-hostile. Never blocks. Nothing allocates but scrollbacks and stdin that waits.
#ifndef OCID_RUNTIME_SUPERVISOR_PROCESS_IO_H_
#define OCID_RUNTIME_SUPERVISOR_PROCESS_IO_H_

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/unique_fd.h"
#include "runtime/supervisor/control_protocol.h"
#include "runtime/supervisor/event_loop.h"
#include "runtime/supervisor/exit_record.h"
#include "runtime/supervisor/log_writer.h"
#include "runtime/supervisor/scrollback.h"

namespace ocid {

inline constexpr int64_t kDrainDelayNs = 2'000'000'000;
inline constexpr int64_t kLagDelayNs = 1'000'000'000;
inline constexpr int64_t kResumeDelayNs = 10'000'000'000;
inline constexpr int64_t kInitResumeDelayNs = 3'000'000'000;

// What the process gets as 0, 1 and 2. Invalid: /dev/null.
struct ChildEnds {
  UniqueFd standard_input;
  UniqueFd standard_output;
  UniqueFd standard_error;
};

class ProcessIo {
 public:
  // `log` is the init's; null for an exec. Of an exec and of a console the scrollback is kept from the
  // start, else from the first attach on.
  ProcessIo(EventLoop* loop, LogWriter* log);
  ProcessIo(const ProcessIo&) = delete;
  ProcessIo& operator=(const ProcessIo&) = delete;
  ~ProcessIo();

  // All three return 0 or an errno.
  int MakePipes(bool open_stdin, ChildEnds* child);
  int AdoptConsole(UniqueFd master);
  // Makes a stream socket and sends what there is from `offsets` on. *client is the daemon's end.
  int Attach(const uint64_t (&offsets)[2], UniqueFd* client);

  // Half close; a console gets its end-of-file character.
  void CloseStdin();
  int Resize(uint16_t rows, uint16_t columns);

  // The process is gone. Reads what it left behind.
  void ProcessExited(const ExitRecord& exit, int64_t now_ns);

  // All output has been read: every writer closed it, or there is nothing left to come.
  bool drained() const { return streams_[0].ended && streams_[1].ended; }

  // Does what is due. Returns the time at which to call again, or -1.
  int64_t Tick(int64_t now_ns);

 private:
  struct Stream {
    ProcessIo* io = nullptr;
    UniqueFd fd;
    Watcher watcher;
    Scrollback scrollback;
    bool ended = true;      // end of file, or never opened
    int64_t lag_since = 0;  // since when the client holds reading up; 0: it does not
    uint64_t sent = 0;      // offset of the next byte for the client
    uint64_t received = 0;  // up to where it has the stream, once it says so
  };
  enum class ReadResult { kData, kNothing, kEnded };

  static void StreamReady(void* stream, uint32_t events);
  static void ClientReady(void* self, uint32_t events);
  static void StdinReady(void* self, uint32_t events);

  int index(const Stream& stream) const { return static_cast<int>(&stream - streams_); }
  int WatchStream(Stream& stream, UniqueFd fd);
  ReadResult ReadStream(Stream& stream);
  void EndStream(Stream& stream);
  size_t RoomFor(const Stream& stream) const;
  void UpdateReading(Stream& stream);
  void ReadRest();

  void SendToClient();
  bool SendFrame(AttachFrameType type, uint64_t offset, const void* payload, size_t size);
  void DropClient();
  void UpdateClientInterest();
  void ReadFromClient();
  void TakeReceived(const char* payload, size_t size);
  void TakeStdin(const char* bytes, size_t size);
  size_t WriteStdin(const char* bytes, size_t size);
  void FlushStdin();
  void DropStdin();
  size_t StdinWaiting() const { return stdin_size_ - stdin_done_; }
  uint64_t stdin_taken() const { return stdin_accepted_ - StdinWaiting(); }
  // False if the client is full or gone.
  bool ReportStdin();

  EventLoop* loop_;
  LogWriter* log_;
  Stream streams_[2];  // stdout or console, stderr
  bool tty_ = false;
  // The console's other side, open while the process lives: without it a read fails whenever
  // nobody inside has the console open, as systemd does at times, and looks like the end.
  UniqueFd console_peer_;

  UniqueFd stdin_;
  Watcher stdin_watcher_;
  char* stdin_bytes_ = nullptr;  // kStdinWindow, malloc'ed: what the process has not taken yet
  size_t stdin_size_ = 0;
  size_t stdin_done_ = 0;
  bool stdin_end_ = false;  // close after those
  uint64_t stdin_accepted_ = 0;
  uint64_t stdin_reported_ = 0;  // as taken, to this client

  UniqueFd client_;
  Watcher client_watcher_;
  bool client_full_ = false;
  bool client_lags_ = false;  // the init no longer waits for it
  bool client_confirms_ = false;  // it says what it has received
  int64_t hold_until_ = 0;    // until then a client that was lost may resume; 0: nobody may

  bool exited_ = false;
  bool output_complete_ = false;  // the client may be told of the exit
  int64_t exit_deadline_ = 0;
  ExitRecord exit_;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_SUPERVISOR_PROCESS_IO_H_
