#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/api/log_service.h"
#include "daemon/api/pull_stream.h"
#include "daemon/logs/log_reader.h"

namespace ocid {
namespace {

constexpr size_t kBatchEntries = 64;
constexpr size_t kBatchBytes = 256 << 10;

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

LogQuery QueryOf(const v1::ReadLogRequest& request) {
  LogQuery query;
  if (request.has_since()) query.since = FromProto(request.since());
  if (request.has_until()) query.until = FromProto(request.until());
  if (request.has_tail()) query.tail = request.tail();
  query.stream = request.stream();
  return query;
}

// The log of one container. It is looked at again when its directory has changed, when the
// container has ended (or gone), and at `until`.
class LogSource final : public PullSource<v1::LogEntry> {
 public:
  LogSource(const ApiContext& api, DirectoryWatcher& watcher, v1::ReadLogRequest request)
      : api_(api), watcher_(watcher), request_(std::move(request)) {}

  ~LogSource() override {
    if (watch_id_ != 0) watcher_.Unwatch(watch_id_);
    if (timer_ != 0) api_.timers.Cancel(timer_);
    exit_wait_->Cancel();
  }

  void Open(std::function<void()> wake) override { wake_ = std::move(wake); }

  absl::StatusOr<Pulled> Pull(std::vector<v1::LogEntry>& batch) override {
    if (reader_ == nullptr) {
      const absl::Status status = OpenReader();
      if (!status.ok()) return status;
    }
    // Looked at before reading: what a container wrote before it ended is in its log by then.
    const bool last = !request_.follow() || HasEnded();
    const absl::StatusOr<bool> more = reader_->Read(kBatchEntries, kBatchBytes, batch);
    if (!more.ok()) return more.status();
    // Without `follow`, a container that writes faster than we read must not keep us for ever.
    if (!request_.follow() && reader_->PastOpeningEnd()) return Pulled::kEnd;
    if (*more) return Pulled::kMore;
    return last ? Pulled::kEnd : Pulled::kLater;
  }

 private:
  absl::Status OpenReader() {
    const absl::StatusOr<LogLocation> location = api_.containers.GetLog(request_.container_id());
    if (!location.ok()) return location.status();
    if (request_.follow()) {
      // Before the first look, so that no change falls between the two.
      const absl::StatusOr<DirectoryWatcher::Id> id = watcher_.Watch(location->directory, wake_);
      if (!id.ok()) return id.status();
      watch_id_ = *id;
      WakeAtEnd();
    }
    absl::StatusOr<std::unique_ptr<LogReader>> reader =
        LogReader::Open(location->directory, QueryOf(request_));
    if (!reader.ok()) return reader.status();
    reader_ = *std::move(reader);
    return absl::OkStatus();
  }

  void WakeAtEnd() {
    v1::WaitContainerRequest wait;
    wait.set_container_id(request_.container_id());
    api_.containers.Wait(wait, exit_wait_,
                         [wake = wake_](absl::StatusOr<v1::WaitContainerResponse>) { wake(); });
    if (request_.has_until()) {
      timer_ = api_.timers.After(FromProto(request_.until()) - api_.timers.Now(), wake_);
    }
  }

  bool HasEnded() const {
    if (request_.has_until() && api_.timers.Now() >= FromProto(request_.until())) return true;
    const absl::StatusOr<LogLocation> now = api_.containers.GetLog(request_.container_id());
    return !now.ok() || now->state == v1::CONTAINER_STATE_STOPPED;
  }

  const ApiContext& api_;
  DirectoryWatcher& watcher_;
  const v1::ReadLogRequest request_;
  const std::shared_ptr<Cancellation> exit_wait_ = std::make_shared<Cancellation>();
  std::function<void()> wake_;
  std::unique_ptr<LogReader> reader_;
  DirectoryWatcher::Id watch_id_ = 0;
  TimerId timer_ = 0;
};

}  // namespace

grpc::ServerWriteReactor<v1::LogEntry>* LogService::Read(grpc::CallbackServerContext* context,
                                                         const v1::ReadLogRequest* request) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());
  if (request->has_since()) check.Timestamp("since", request->since());
  if (request->has_until()) check.Timestamp("until", request->until());
  if (!v1::LogStream_IsValid(request->stream())) check.Fail("stream", "is not a stream");
  return PullStream<v1::LogEntry>::Start(api_, context, *request, check.Finish(),
                                         std::make_unique<LogSource>(api_, watcher_, *request));
}

}  // namespace ocid
