#include "daemon/events/event_log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "daemon/base/crc32c.h"
#include "daemon/base/log_context.h"
#include "daemon/store/files.h"

namespace ocid {
namespace {

constexpr std::string_view kSuffix = ".events";
constexpr size_t kHeaderBytes = 8;
constexpr char kReservedName[] = "reserved";
constexpr size_t kMaxReservedBytes = 256;
// One sync for so many events; no more numbers than that are skipped after a loss of power.
constexpr uint64_t kReservedAhead = 4096;
constexpr size_t kMaxEventBytes = 1 << 20;
// The end of a segment that is being written may grow while it is read, and one batch may go over.
constexpr size_t kMaxSegmentFileBytes = size_t{256} << 20;

void AppendRecord(const v1::Event& event, std::string& out) {
  const std::string payload = event.SerializeAsString();
  const uint32_t header[2] = {static_cast<uint32_t>(payload.size()), Crc32c(payload)};
  char bytes[kHeaderBytes];
  std::memcpy(bytes, header, sizeof(bytes));
  out.append(bytes, sizeof(bytes));
  out.append(payload);
}

// The record that begins at `*offset`, which moves behind it; nothing where none parses.
std::optional<v1::Event> ReadRecord(const std::string& segment, size_t* offset) {
  if (segment.size() - *offset < kHeaderBytes) return std::nullopt;
  uint32_t header[2];
  std::memcpy(header, segment.data() + *offset, sizeof(header));
  const size_t length = header[0];
  if (length > kMaxEventBytes || length > segment.size() - *offset - kHeaderBytes) {
    return std::nullopt;
  }
  const std::string_view payload(segment.data() + *offset + kHeaderBytes, length);
  v1::Event event;
  if (Crc32c(payload) != header[1] ||
      !event.ParseFromArray(payload.data(), static_cast<int>(length))) {
    return std::nullopt;
  }
  *offset += kHeaderBytes + length;
  return event;
}

// "NUMBER BOOT-ID\n"
bool ParseReserved(const std::string& text, uint64_t* up_to, std::string* boot_id) {
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), *up_to);
  const size_t at = static_cast<size_t>(rest - text.data());
  if (error != std::errc() || at >= text.size() || text[at] != ' ' || text.back() != '\n') {
    return false;
  }
  *boot_id = text.substr(at + 1, text.size() - at - 2);
  return true;
}

std::optional<uint64_t> FirstSequenceOf(const std::string& name) {
  if (name.size() <= kSuffix.size() ||
      std::string_view(name).substr(name.size() - kSuffix.size()) != kSuffix) {
    return std::nullopt;
  }
  uint64_t first = 0;
  const char* const end = name.data() + name.size() - kSuffix.size();
  const auto [rest, error] = std::from_chars(name.data(), end, first);
  if (error != std::errc() || rest != end || first == 0) return std::nullopt;
  return first;
}

}  // namespace

EventLog::EventLog(EventLogOptions options, std::string boot_id, UniqueFd directory)
    : options_(std::move(options)), boot_id_(std::move(boot_id)), directory_(std::move(directory)) {}

absl::StatusOr<std::unique_ptr<EventLog>> EventLog::Open(const EventLogOptions& options) {
  std::string boot_id = options.boot_id;
  if (boot_id.empty()) {
    absl::StatusOr<std::string> read = ReadBootId();
    if (!read.ok()) return read.status();
    boot_id = *std::move(read);
  }
  absl::StatusOr<UniqueFd> directory = MakeDirectory(BorrowedFd(AT_FDCWD), options.directory);
  if (!directory.ok()) return directory.status();
  std::unique_ptr<EventLog> log(
      new EventLog(options, std::move(boot_id), *std::move(directory)));
  const absl::Status loaded = log->Load();
  if (!loaded.ok()) return loaded;
  return log;
}

std::string EventLog::SegmentName(uint64_t first_sequence) const {
  return absl::StrFormat("%020d.events", first_sequence);
}

// Finds the segments, and where the newest ends.
absl::Status EventLog::Load() {
  const absl::StatusOr<std::vector<std::string>> names = ListDirectory(directory_, ".");
  if (!names.ok()) return names.status();
  MutexLock lock(mutex_);
  for (const std::string& name : *names) {
    const std::optional<uint64_t> first = FirstSequenceOf(name);
    if (first.has_value()) segments_.push_back(*first);
  }
  std::sort(segments_.begin(), segments_.end());
  if (!segments_.empty()) {
    const absl::StatusOr<uint64_t> next = LoadNewest(segments_.back());
    if (!next.ok()) return next.status();
    next_sequence_ = *next;
  }
  const absl::StatusOr<std::string> reserved =
      ReadFile(directory_, kReservedName, kMaxReservedBytes);
  if (!reserved.ok() && !absl::IsNotFound(reserved.status())) return reserved.status();
  uint64_t up_to = 0;
  std::string boot;
  if (reserved.ok() && ParseReserved(*reserved, &up_to, &boot)) {
    writer_.reserved = up_to;
    // Of this boot every event that was written is there; of another one some may not be.
    if (boot != boot_id_ && up_to > next_sequence_) {
      next_sequence_ = up_to;
      writer_.file.reset();  // a segment has no gap
    }
    if (boot != boot_id_) writer_.reserved = 0;
  }
  published_ = next_sequence_ - 1;
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> EventLog::LoadNewest(uint64_t newest) {
  const absl::StatusOr<std::string> segment =
      ReadFile(directory_, SegmentName(newest), kMaxSegmentFileBytes);
  if (!segment.ok()) return segment.status();
  uint64_t last = newest - 1;
  size_t offset = 0;
  for (;;) {
    const std::optional<v1::Event> event = ReadRecord(*segment, &offset);
    if (!event.has_value()) break;
    last = event->sequence();
  }
  const absl::Status opened = OpenSegment(newest);
  if (!opened.ok()) return opened;
  if (offset < segment->size()) {
    const int result = ::ftruncate(writer_.file.get(), static_cast<off_t>(offset));
    if (result != 0) return FileError(errno, "truncate", SegmentName(newest));
  }
  writer_.size = offset;
  return last + 1;
}

absl::Status EventLog::Reserve(uint64_t up_to) {
  const absl::Status written = ReplaceFile(
      directory_, kReservedName, absl::StrCat(up_to, " ", boot_id_, "\n"), Sync::kDurable);
  if (written.ok()) writer_.reserved = up_to;
  return written;
}

absl::Status EventLog::OpenSegment(uint64_t first_sequence) {
  const std::string name = SegmentName(first_sequence);
  UniqueFd file(::openat(directory_.get(), name.c_str(),
                         O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return FileError(errno, "open", name);
  writer_.file = std::move(file);
  writer_.first_sequence = first_sequence;
  writer_.size = 0;
  return absl::OkStatus();
}

uint64_t EventLog::Append(v1::Event event) {
  if (const auto& context = CurrentLogContext(); context != nullptr) {
    event.set_trace_id(context->trace_id);
  }
  if (!event.has_time()) {
    const int64_t now = absl::ToUnixNanos(absl::Now());
    event.mutable_time()->set_seconds(now / 1'000'000'000);
    event.mutable_time()->set_nanos(static_cast<int32_t>(now % 1'000'000'000));
  }
  mutex_.Lock();
  const uint64_t sequence = next_sequence_++;
  event.set_sequence(sequence);
  pending_.push_back(std::make_shared<const v1::Event>(std::move(event)));
  if (writing_) {  // that thread takes this event along
    mutex_.Unlock();
    return sequence;
  }
  writing_ = true;
  std::vector<std::function<void()>> notify;
  while (!pending_.empty()) {
    const std::vector<std::shared_ptr<const v1::Event>> batch = std::exchange(pending_, {});
    mutex_.Unlock();
    const bool written = Write(batch);
    mutex_.Lock();
    if (!written) lost_ += batch.size();
    for (const auto& published : batch) buffer_.push_back(published);
    while (buffer_.size() > options_.buffered_events) buffer_.pop_front();
    published_ = batch.back()->sequence();
    for (auto& [id, function] : notify_) notify.push_back(std::move(function));
    notify_.clear();
  }
  writing_ = false;
  mutex_.Unlock();
  for (const auto& function : notify) function();
  return sequence;
}

bool EventLog::Write(const std::vector<std::shared_ptr<const v1::Event>>& events) {
  const uint64_t end = events.back()->sequence() + 1;
  if (end > writer_.reserved) {
    const absl::Status reserved = Reserve(end + kReservedAhead);
    // A full disk: the events count as lost, as those that cannot be written do.
    if (!reserved.ok()) return false;
  }
  if (!writer_.file.valid() || writer_.size >= options_.segment_bytes) {
    const uint64_t first = events.front()->sequence();
    const absl::Status opened = OpenSegment(first);
    if (!opened.ok()) return false;
    uint64_t oldest = 0;
    {
      MutexLock lock(mutex_);
      segments_.push_back(first);
      if (segments_.size() > options_.max_segments) {
        oldest = segments_.front();
        segments_.erase(segments_.begin());
      }
    }
    if (oldest != 0) ::unlinkat(directory_.get(), SegmentName(oldest).c_str(), 0);
  }
  std::string bytes;
  for (const auto& event : events) AppendRecord(*event, bytes);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t written = ::write(writer_.file.get(), bytes.data() + done, bytes.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      // No half record may stand before what is written next.
      const int result = ::ftruncate(writer_.file.get(), static_cast<off_t>(writer_.size));
      if (result != 0) writer_.file.reset();
      return false;
    }
    done += static_cast<size_t>(written);
  }
  writer_.size += bytes.size();
  return true;
}

uint64_t EventLog::last_sequence() const {
  MutexLock lock(mutex_);
  return published_;
}

std::vector<uint64_t> EventLog::Lags() const {
  MutexLock lock(mutex_);
  std::vector<uint64_t> lags;
  for (const EventReader* const reader : readers_) {
    const uint64_t next = reader->next_;
    lags.push_back(next > published_ ? 0 : published_ + 1 - next);
  }
  return lags;
}

uint64_t EventLog::DiskBytes() const {
  std::vector<uint64_t> segments;
  {
    MutexLock lock(mutex_);
    segments = segments_;
  }
  uint64_t bytes = 0;
  for (const uint64_t segment : segments) {
    struct stat status;
    if (fstatat(directory_.get(), SegmentName(segment).c_str(), &status, 0) == 0) {
      bytes += static_cast<uint64_t>(status.st_size);
    }
  }
  return bytes;
}

uint64_t EventLog::lost_events() const {
  MutexLock lock(mutex_);
  return lost_;
}

std::unique_ptr<EventReader> EventLog::Read(uint64_t from_sequence) {
  MutexLock lock(mutex_);
  const uint64_t next = from_sequence != 0 ? from_sequence : published_ + 1;
  std::unique_ptr<EventReader> reader(new EventReader(*this, next));
  readers_.insert(reader.get());
  return reader;
}

EventReader::~EventReader() {
  std::function<void()> function;  // dies outside the lock
  MutexLock lock(log_.mutex_);
  log_.readers_.erase(this);
  const auto found = log_.notify_.find(notify_id_);
  if (found == log_.notify_.end()) return;
  function = std::move(found->second);
  log_.notify_.erase(found);
}

void EventReader::NotifyOnce(std::function<void()> function) {
  {
    MutexLock lock(log_.mutex_);
    log_.notify_.erase(notify_id_);
    if (next_ > log_.published_) {
      notify_id_ = ++log_.last_notify_id_;
      log_.notify_.emplace(notify_id_, std::move(function));
      return;
    }
  }
  function();
}

std::vector<v1::Event> EventReader::Next(size_t max) {
  std::vector<v1::Event> events;
  uint64_t published = 0;
  uint64_t buffered = 0;  // the first in memory
  {
    MutexLock lock(log_.mutex_);
    published = log_.published_;
    buffered = log_.buffer_.empty() ? published + 1 : log_.buffer_.front()->sequence();
  }
  if (next_ > published || max == 0) return events;
  if (next_ < buffered) ReadFiles(buffered, max, events);
  if (events.size() >= max || next_ < buffered) return events;
  segment_first_ = 0;
  segment_.clear();
  std::vector<std::shared_ptr<const v1::Event>> found;
  {
    MutexLock lock(log_.mutex_);
    // Between the two locks more may have come, and pushed out what we want: next time, then.
    const auto& buffer = log_.buffer_;
    if (!buffer.empty() && next_ >= buffer.front()->sequence()) {
      const size_t skip = next_ - buffer.front()->sequence();
      const size_t count = std::min(max - events.size(), buffer.size() - std::min(skip, buffer.size()));
      for (size_t i = 0; i < count; ++i) found.push_back(buffer[skip + i]);
    }
  }
  for (const auto& event : found) events.push_back(*event);
  if (!found.empty()) next_ = found.back()->sequence() + 1;
  return events;
}

void EventReader::AddGap(uint64_t end, std::vector<v1::Event>& events) {
  v1::Event& gap = events.emplace_back();
  gap.set_type(v1::Event::GAP);
  gap.set_sequence(next_);
  gap.set_gap_end(end);
  next_ = end;
}

void EventReader::ReadFiles(uint64_t end, size_t max, std::vector<v1::Event>& events) {
  while (next_ < end && events.size() < max) {
    if (segment_first_ != 0) {
      size_t offset = segment_offset_;
      std::optional<v1::Event> event = ReadRecord(segment_, &offset);
      if (event.has_value()) {
        // What could not be written is missing here; `end` and beyond is not ours to give.
        if (event->sequence() > next_) AddGap(std::min(event->sequence(), end), events);
        if (event->sequence() >= end) return;
        segment_offset_ = offset;
        if (event->sequence() < next_) continue;
        events.push_back(*std::move(event));
        ++next_;
        continue;
      }
    }
    // The segment that has next_, and where the one after it begins.
    uint64_t first = 0;
    uint64_t after = end;
    uint64_t published = 0;
    {
      MutexLock lock(log_.mutex_);
      published = log_.published_;
      for (const uint64_t candidate : log_.segments_) {
        if (candidate > next_) {
          after = std::min(after, candidate);
          break;
        }
        first = candidate;
      }
    }
    // Not kept any more, or read when it was there already: broken or never written.
    if (first == 0 || (first == segment_first_ && next_ <= segment_until_)) {
      AddGap(after, events);
      continue;
    }
    absl::StatusOr<std::string> segment =
        ReadFile(log_.directory_, log_.SegmentName(first), kMaxSegmentFileBytes);
    // Trimmed meanwhile, or unreadable: what it held is a gap, found out by the next turn.
    segment_ = segment.ok() ? *std::move(segment) : std::string();
    if (first != segment_first_) segment_offset_ = 0;
    segment_offset_ = std::min(segment_offset_, segment_.size());
    segment_first_ = first;
    segment_until_ = published;
  }
}

}  // namespace ocid
