#include <optional>

#include "daemon/api/image_service.h"
#include "daemon/image/image_save.h"

namespace ocid {

grpc::ServerUnaryReactor* ImageService::Save(grpc::CallbackServerContext* context,
                                             const v1::SaveImageRequest* request,
                                             v1::SaveImageResponse* response) {
  RequestCheck check;
  if (request->name().empty()) check.Fail("name", "is empty");
  check.AbsolutePath("path", request->path());
  // Who asks gets it: nobody else may read what an image holds.
  std::optional<RootlessOwner> owner;
  const std::optional<Peer> peer = api_.peers.Find(context->peer());
  if (peer.has_value()) owner = RootlessOwner{peer->uid, peer->gid};
  UnaryCall<v1::SaveImageResponse> call(api_, context, *request, response);
  if (call.Refused(check)) return call.reactor();
  workers_.Post([this, request, call, owner]() mutable {
    const absl::StatusOr<Digest> digest =
        SaveImage(store_, {.image = request->name(),
                           .path = request->path(),
                           .archive = request->archive(),
                           .owner = owner});
    if (!digest.ok()) return call.Finish(digest.status());
    v1::SaveImageResponse answer;
    answer.set_path(request->path());
    answer.set_digest(digest->ToString());
    call.Finish(std::move(answer));
  });
  return call.reactor();
}

}  // namespace ocid
