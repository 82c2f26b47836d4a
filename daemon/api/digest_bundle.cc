#include "daemon/api/image_service.h"
#include "daemon/image/bundle_unpack.h"

namespace ocid {

grpc::ServerUnaryReactor* ImageService::DigestBundle(grpc::CallbackServerContext* context,
                                                     const v1::DigestBundleRequest* request,
                                                     v1::DigestBundleResponse* response) {
  RequestCheck check;
  check.AbsolutePath("directory", request->directory());
  UnaryCall<v1::DigestBundleResponse> call(api_, context, *request, response);
  if (call.Refused(check)) return call.reactor();
  workers_.Post([request, call]() mutable {
    const absl::StatusOr<Digest> digest = BundleDigest(request->directory());
    if (!digest.ok()) return call.Finish(digest.status());
    v1::DigestBundleResponse answer;
    answer.set_content_digest(digest->ToString());
    call.Finish(std::move(answer));
  });
  return call.reactor();
}

}  // namespace ocid
