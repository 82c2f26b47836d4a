// EventLog: what happened, numbered, kept over restarts, and read by any number of watchers at their
// own pace.
//
//   log->Append(event);                              // gives it the next number
//   auto reader = log->Read(/*from_sequence=*/17);
//   reader->Next(256);                               // 17, 18, ... or a GAP first
//   reader->NotifyOnce([...] { ... });               // there is more to read now
//
// Events go to segment files of the directory, `<first sequence>.events`, by write(2) and without a
// sync: they outlive the daemon, and but for the newest a loss of power. The newest stay in memory
// too; a reader that fell behind those reads the files, and one that fell behind the files gets one
// GAP event that names the numbers it missed. A reader never holds up Append or another reader.
//
//   segment: records {u32 length, u32 CRC-32C of the payload, payload: ocid.v1.Event}, little-endian
//
// A torn record at the end of the newest segment, a crash's work, is cut off by Open. What else does
// not parse is skipped to the next segment and shows up as a gap.
//
// No number is given out twice, not after a loss of power either: `reserved` says, durably, which number
// has not been given out by then, and a log that is opened after another boot goes on with that one,
// which readers see as a gap.
//
// Append returns when the event is in the file, or will be by the thread that is writing already; no
// lock is held during a write. Thread-safe; a reader is thread-compatible. Append, Next and Open do
// file I/O on the page cache.
#ifndef OCID_DAEMON_EVENTS_EVENT_LOG_H_
#define OCID_DAEMON_EVENTS_EVENT_LOG_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/ocid/v1/event.pb.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

struct EventLogOptions {
  std::string directory;            // made where it is missing
  size_t segment_bytes = 1 << 20;   // a segment is closed when it has grown to this size
  size_t max_segments = 16;         // the oldest is removed when there are more
  size_t buffered_events = 4096;    // kept in memory
  std::string boot_id = {};         // default: this boot's
};

class EventReader;

class EventLog {
 public:
  static absl::StatusOr<std::unique_ptr<EventLog>> Open(const EventLogOptions& options);

  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  // Numbers the event, stamps it with the time of day unless it has a time, and returns the number.
  // An event that cannot be written (a full disk) still reaches the readers that keep up.
  uint64_t Append(v1::Event event);

  // Of the newest event that readers can see; 0 where there was none yet.
  uint64_t last_sequence() const;

  // For each reader that there is, how many events it has not read.
  std::vector<uint64_t> Lags() const;

  // Of the segment files. Looks at the disk.
  uint64_t DiskBytes() const;

  // How many events could not be written since Open, and why the last one could not.
  uint64_t lost_events() const;

  // 0: from the next event on.
  std::unique_ptr<EventReader> Read(uint64_t from_sequence);

 private:
  friend class EventReader;

  struct Writer {  // used by one thread at a time: the one that set writing_
    UniqueFd file;
    uint64_t first_sequence = 0;
    size_t size = 0;
    uint64_t reserved = 0;  // the first number that is not
  };

  EventLog(EventLogOptions options, std::string boot_id, UniqueFd directory);

  absl::Status Load();
  absl::Status OpenSegment(uint64_t first_sequence);
  // The number that follows what the newest segment has.
  absl::StatusOr<uint64_t> LoadNewest(uint64_t first_sequence);
  absl::Status Reserve(uint64_t up_to);
  bool Write(const std::vector<std::shared_ptr<const v1::Event>>& events);
  std::string SegmentName(uint64_t first_sequence) const;

  const EventLogOptions options_;
  const std::string boot_id_;
  const UniqueFd directory_;

  mutable Mutex mutex_;
  uint64_t next_sequence_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t published_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t lost_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::shared_ptr<const v1::Event>> pending_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::shared_ptr<const v1::Event>> buffer_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint64_t> segments_ ABSL_GUARDED_BY(mutex_);  // first sequences, ascending
  std::set<const EventReader*> readers_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, std::function<void()>> notify_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_notify_id_ ABSL_GUARDED_BY(mutex_) = 0;

  Writer writer_;
};

// One watcher's place in the log. Lives no longer than the log.
class EventReader {
 public:
  ~EventReader();
  EventReader(const EventReader&) = delete;
  EventReader& operator=(const EventReader&) = delete;

  // The next events in order, at most `max`; none where everything was read.
  std::vector<v1::Event> Next(size_t max);

  // Calls `function` once when Next has something to give: here and now, or on the thread of the
  // Append that brings it, where it must be short. Takes the place of the function before. It may
  // still be running when the reader is destroyed.
  void NotifyOnce(std::function<void()> function);

  // The number of the event that comes next.
  uint64_t next_sequence() const { return next_; }

 private:
  friend class EventLog;

  EventReader(EventLog& log, uint64_t next) : log_(log), next_(next) {}  // log.mutex_ is held

  // Reads on in the segment files, up to `end`.
  void ReadFiles(uint64_t end, size_t max, std::vector<v1::Event>& events);
  void AddGap(uint64_t end, std::vector<v1::Event>& events);

  EventLog& log_;
  std::atomic<uint64_t> next_;  // written by the reader's thread alone
  uint64_t notify_id_ = 0;
  // The segment in which this reader is, and how far.
  std::string segment_;
  uint64_t segment_first_ = 0;  // 0: none
  size_t segment_offset_ = 0;
  uint64_t segment_until_ = 0;  // up to this number the copy is whole
};

}  // namespace ocid

#endif  // OCID_DAEMON_EVENTS_EVENT_LOG_H_
