#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/api/event_service.h"
#include "daemon/api/pull_stream.h"
#include "daemon/base/filter.h"
#include "daemon/events/event_log.h"
#include "google/protobuf/util/time_util.h"

namespace ocid {
namespace {

using ::google::protobuf::util::TimeUtil;

constexpr size_t kBatchEvents = 128;
// Of a watch that has nothing to tell: how often it says so.
constexpr absl::Duration kBookmarkInterval = absl::Seconds(20);

absl::StatusOr<Filter> ParseEventFilter(const std::string& text) {
  return Filter::Parse(
      text, FilterKeys{.keys = {"id"}, .ignore_case = {"type", "state"}, .labels = false});
}

std::optional<std::string> Lookup(const v1::Event& event, std::string_view key) {
  if (key == "id") return event.container_id();
  if (key == "type") return v1::Event::Type_Name(event.type());
  if (key != "state" || event.state() == v1::CONTAINER_STATE_UNSPECIFIED) return std::nullopt;
  // "running", as in the filter of ContainerService.List.
  constexpr std::string_view kPrefix = "CONTAINER_STATE_";
  return v1::ContainerState_Name(event.state()).substr(kPrefix.size());
}

class EventSource final : public PullSource<v1::Event> {
 public:
  EventSource(const ApiContext& api, const v1::WatchEventsRequest& request, Filter filter)
      : api_(api),
        filter_(std::move(filter)),
        no_follow_(request.no_follow()),
        end_(api.containers.events().last_sequence() + 1),
        reader_(api.containers.events().Read(request.from_sequence())) {}

  ~EventSource() override {
    if (timer_ != 0) api_.timers.Cancel(timer_);
  }

  void Open(std::function<void()> wake) override {
    wake_ = std::move(wake);
    last_sent_ = api_.timers.Now();
  }

  absl::StatusOr<Pulled> Pull(std::vector<v1::Event>& batch) override {
    if (no_follow_ && reader_->next_sequence() >= end_) return Pulled::kEnd;
    std::vector<v1::Event> events = reader_->Next(kBatchEvents);
    const bool more = !events.empty();
    for (v1::Event& event : events) {
      if (no_follow_ && event.sequence() >= end_) return Pulled::kEnd;
      if (Wanted(event)) batch.push_back(std::move(event));
    }
    if (!batch.empty()) last_sent_ = api_.timers.Now();
    if (more) return Pulled::kMore;
    if (no_follow_) return Pulled::kEnd;
    SendBookmark(batch);
    reader_->NotifyOnce(wake_);
    return Pulled::kLater;
  }

 private:
  bool Wanted(const v1::Event& event) const {
    if (event.type() == v1::Event::GAP || filter_.empty()) return true;
    return filter_.Matches([&event](std::string_view key) { return Lookup(event, key); });
  }

  // Where nothing was sent for a while. The timer wakes us for the next one.
  void SendBookmark(std::vector<v1::Event>& batch) {
    const absl::Time now = api_.timers.Now();
    if (now - last_sent_ >= kBookmarkInterval) {
      v1::Event& bookmark = batch.emplace_back();
      bookmark.set_type(v1::Event::BOOKMARK);
      bookmark.set_sequence(reader_->next_sequence());
      *bookmark.mutable_time() = TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(now));
      last_sent_ = now;
    }
    if (timer_ != 0) api_.timers.Cancel(timer_);
    timer_ = api_.timers.After(last_sent_ + kBookmarkInterval - now, wake_);
  }

  const ApiContext& api_;
  const Filter filter_;
  const bool no_follow_;
  const uint64_t end_;  // with no_follow: the first number that does not belong
  const std::unique_ptr<EventReader> reader_;
  std::function<void()> wake_;
  absl::Time last_sent_;
  TimerId timer_ = 0;
};

}  // namespace

grpc::ServerWriteReactor<v1::Event>* EventService::Watch(grpc::CallbackServerContext* context,
                                                         const v1::WatchEventsRequest* request) {
  RequestCheck check;
  check.Filter(request->filter());
  absl::Status refused = check.Finish();
  absl::StatusOr<Filter> filter = Filter();
  if (refused.ok()) filter = ParseEventFilter(request->filter());
  if (!filter.ok()) refused = filter.status();
  std::unique_ptr<EventSource> source;
  if (refused.ok()) source = std::make_unique<EventSource>(api_, *request, *std::move(filter));
  return PullStream<v1::Event>::Start(api_, context, *request, refused, std::move(source));
}

}  // namespace ocid
