#include "daemon/api/image_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ImageService::Delete(grpc::CallbackServerContext* context,
                                               const v1::DeleteImageRequest* request,
                                               v1::DeleteImageResponse* response) {
  RequestCheck check;
  if (request->name().empty()) check.Fail("name", "is empty");
  UnaryCall<v1::DeleteImageResponse> call(api_, context, *request, response);
  if (call.Refused(check)) return call.reactor();
  workers_.Post([this, request, call]() mutable {
    const absl::StatusOr<uint64_t> freed = store_.Delete(request->name());
    if (!freed.ok()) return call.Finish(freed.status());
    v1::DeleteImageResponse answer;
    answer.set_freed_bytes(*freed);
    call.Finish(std::move(answer));
  });
  return call.reactor();
}

}  // namespace ocid
