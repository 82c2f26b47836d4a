#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/api/image_service.h"
#include "daemon/api/pull_stream.h"
#include "daemon/image/bundle_unpack.h"

namespace ocid {
namespace {

constexpr size_t kDifferencesPerMessage = 1000;

// What the thread that compares and the stream share.
class VerifyState {
 public:
  explicit VerifyState(std::function<void()> wake) : wake_(std::move(wake)) {}

  void End(absl::StatusOr<BundleCheck> check) {
    {
      MutexLock lock(mutex_);
      check_ = std::move(check);
    }
    wake_();
  }

  // Null while it is under way.
  absl::StatusOr<const BundleCheck*> Result() const {
    MutexLock lock(mutex_);
    if (!check_.has_value()) return nullptr;
    if (!check_->ok()) return check_->status();
    return &**check_;
  }

 private:
  const std::function<void()> wake_;
  mutable Mutex mutex_;
  std::optional<absl::StatusOr<BundleCheck>> check_ ABSL_GUARDED_BY(mutex_);  // set once
};

class VerifyBundleSource final : public PullSource<v1::VerifyBundleResponse> {
 public:
  VerifyBundleSource(ThreadPool& workers, std::string directory)
      : workers_(workers), directory_(std::move(directory)) {}

  void Open(std::function<void()> wake) override {
    state_ = std::make_shared<VerifyState>(std::move(wake));
    workers_.Post([state = state_, directory = directory_] { state->End(VerifyBundle(directory)); });
  }

  absl::StatusOr<Pulled> Pull(std::vector<v1::VerifyBundleResponse>& batch) override {
    const absl::StatusOr<const BundleCheck*> check = state_->Result();
    if (!check.ok()) return check.status();
    if (*check == nullptr) return Pulled::kLater;
    const std::vector<TreeDifference>& differences = (*check)->differences;
    const size_t end = std::min(differences.size(), next_ + kDifferencesPerMessage);
    v1::VerifyBundleResponse response;
    for (; next_ < end; ++next_) {
      v1::VerifyBundleResponse::Difference& difference = *response.add_differences();
      difference.set_path(differences[next_].path);
      difference.set_what(differences[next_].what);
      difference.set_expected(differences[next_].expected);
      difference.set_actual(differences[next_].actual);
    }
    const bool last = next_ == differences.size();
    if (last) response.set_content_digest((*check)->digest.ToString());
    batch.push_back(std::move(response));
    return last ? Pulled::kEnd : Pulled::kMore;
  }

 private:
  ThreadPool& workers_;
  const std::string directory_;
  std::shared_ptr<VerifyState> state_;
  size_t next_ = 0;
};

}  // namespace

grpc::ServerWriteReactor<v1::VerifyBundleResponse>* ImageService::VerifyBundle(
    grpc::CallbackServerContext* context, const v1::VerifyBundleRequest* request) {
  RequestCheck check;
  check.AbsolutePath("directory", request->directory());
  const absl::Status refused = check.Finish();
  std::unique_ptr<PullSource<v1::VerifyBundleResponse>> source;
  if (refused.ok()) source = std::make_unique<VerifyBundleSource>(workers_, request->directory());
  return PullStream<v1::VerifyBundleResponse>::Start(api_, context, *request, refused, std::move(source));
}

}  // namespace ocid
