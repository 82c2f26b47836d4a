#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "daemon/api/image_service.h"
#include "daemon/api/pull_stream.h"

namespace ocid {
namespace {

constexpr absl::Duration kProgressInterval = absl::Milliseconds(100);

// What the import's thread and the stream share.
class PullState {
 public:
  explicit PullState(std::function<void()> wake) : wake_(std::move(wake)) {}

  void Abandon() { abandoned_ = true; }

  absl::Status Poll() const {
    return abandoned_ ? absl::CancelledError("the client has gone") : absl::OkStatus();
  }

  absl::Status Report(const std::vector<LayerProgress>& layers) {
    const absl::Time now = absl::Now();
    bool wake = false;
    {
      MutexLock lock(mutex_);
      layers_ = layers;
      wake = now - last_wake_ >= kProgressInterval;
      if (wake) last_wake_ = now;
    }
    if (wake) wake_();
    return Poll();
  }

  void End(absl::StatusOr<v1::Image> image) {
    {
      MutexLock lock(mutex_);
      end_ = std::move(image);
    }
    wake_();
  }

  absl::StatusOr<Pulled> Take(std::vector<v1::PullImageResponse>& batch) {
    MutexLock lock(mutex_);
    if (end_.has_value() && !end_->ok()) return end_->status();
    v1::PullImageResponse response;
    for (const LayerProgress& progress : layers_) {
      v1::PullImageResponse::Layer& layer = *response.add_layers();
      layer.set_digest(progress.digest.ToString());
      layer.set_done_bytes(progress.done_bytes);
      layer.set_total_bytes(progress.total_bytes);
      layer.set_status(std::string(LayerStateName(progress.state)));
    }
    if (end_.has_value()) *response.mutable_image() = **end_;
    if (end_.has_value() || response.layers_size() > 0) batch.push_back(std::move(response));
    return end_.has_value() ? Pulled::kEnd : Pulled::kLater;
  }

 private:
  const std::function<void()> wake_;
  std::atomic<bool> abandoned_ = false;
  Mutex mutex_;
  std::vector<LayerProgress> layers_ ABSL_GUARDED_BY(mutex_);
  absl::Time last_wake_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::optional<absl::StatusOr<v1::Image>> end_ ABSL_GUARDED_BY(mutex_);
};

struct PullJob {
  RegistryReference reference;
  Platform platform;
  bool plain_http = false;
};

absl::StatusOr<v1::Image> RunPull(ImageStore& store, const PullJob& job, RegistryOptions options,
                                  PullState& state) {
  options.poll = [&state] { return state.Poll(); };
  absl::StatusOr<std::unique_ptr<RegistrySource>> source =
      RegistrySource::Open(job.reference, job.plain_http, std::move(options));
  if (!source.ok()) return source.status();
  const std::string name = job.reference.ToString();
  absl::StatusOr<ImageRecord> record = store.Import(
      **source, (*source)->root(),
      {.names = {name},
       .platform = job.platform,
       .progress = [&state](const std::vector<LayerProgress>& p) { return state.Report(p); }});
  if (!record.ok()) return record.status();
  return DescribeImage(store, *record, name);
}

// Gone with its stream; the job then finds that nobody waits, and what it fetched stays for the next.
class PullImageSource final : public PullSource<v1::PullImageResponse> {
 public:
  PullImageSource(ImageStore& store, ThreadPool& workers, RegistryOptions options, PullJob job)
      : store_(store), workers_(workers), options_(std::move(options)), job_(std::move(job)) {}
  ~PullImageSource() override {
    if (state_ != nullptr) state_->Abandon();
  }

  void Open(std::function<void()> wake) override {
    state_ = std::make_shared<PullState>(std::move(wake));
    workers_.Post([&store = store_, state = state_, options = options_, job = job_] {
      state->End(RunPull(store, job, options, *state));
    });
  }
  absl::StatusOr<Pulled> Pull(std::vector<v1::PullImageResponse>& batch) override {
    return state_->Take(batch);
  }

 private:
  ImageStore& store_;
  ThreadPool& workers_;
  const RegistryOptions options_;
  const PullJob job_;
  std::shared_ptr<PullState> state_;
};

}  // namespace

grpc::ServerWriteReactor<v1::PullImageResponse>* ImageService::Pull(
    grpc::CallbackServerContext* context, const v1::PullImageRequest* request) {
  RequestCheck check;
  const absl::StatusOr<Platform> platform = Platform::Parse(request->platform());
  if (!platform.ok()) check.Fail("platform", "is not OS/ARCHITECTURE[/VARIANT]");
  absl::Status refused = check.Finish();
  const absl::StatusOr<RegistryReference> reference =
      RegistryReference::Parse(request->reference());
  if (refused.ok()) refused = reference.status();
  std::unique_ptr<PullSource<v1::PullImageResponse>> source;
  if (refused.ok()) {
    source = std::make_unique<PullImageSource>(
        store_, workers_, registries_, PullJob{*reference, *platform, request->plain_http()});
  }
  return PullStream<v1::PullImageResponse>::Start(api_, context, *request, refused, std::move(source));
}

}  // namespace ocid
