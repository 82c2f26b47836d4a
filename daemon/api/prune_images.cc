#include "daemon/api/image_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ImageService::Prune(grpc::CallbackServerContext* context,
                                              const v1::PruneImagesRequest* request,
                                              v1::PruneImagesResponse* response) {
  UnaryCall<v1::PruneImagesResponse> call(api_, context, *request, response);
  if (call.Refused()) return call.reactor();
  workers_.Post([this, call]() mutable {
    const absl::StatusOr<ImageStore::PruneResult> pruned = store_.Prune();
    if (!pruned.ok()) return call.Finish(pruned.status());
    v1::PruneImagesResponse answer;
    answer.mutable_names()->Assign(pruned->names.begin(), pruned->names.end());
    answer.set_freed_bytes(pruned->freed_bytes);
    call.Finish(std::move(answer));
  });
  return call.reactor();
}

}  // namespace ocid
