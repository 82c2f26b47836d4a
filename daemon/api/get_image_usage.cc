#include "daemon/api/image_service.h"
#include "daemon/image/image_usage.h"

namespace ocid {
namespace {

void Describe(const ContentUsage& usage, v1::ImageUsage::Content& content) {
  content.set_count(usage.count);
  content.set_size_bytes(usage.size_bytes);
  content.set_reclaimable_bytes(usage.reclaimable_bytes);
}

}  // namespace

grpc::ServerUnaryReactor* ImageService::GetUsage(grpc::CallbackServerContext* context,
                                                 const v1::GetImageUsageRequest* request,
                                                 v1::ImageUsage* response) {
  UnaryCall<v1::ImageUsage> call(api_, context, *request, response);
  workers_.Post([this, call]() mutable {
    const absl::StatusOr<ImageUsage> usage = MeasureUsage(store_);
    if (!usage.ok()) return call.Finish(usage.status());
    v1::ImageUsage answer;
    Describe(usage->images, *answer.mutable_images());
    Describe(usage->blobs, *answer.mutable_blobs());
    Describe(usage->layers, *answer.mutable_layers());
    Describe(usage->partial_downloads, *answer.mutable_partial_downloads());
    call.Finish(std::move(answer));
  });
  return call.reactor();
}

}  // namespace ocid
