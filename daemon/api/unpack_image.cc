#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "daemon/api/image_service.h"
#include "daemon/image/bundle_unpack.h"
#include "daemon/spec/spec_pipeline.h"
#include "daemon/spec/transformers/transformers.h"

namespace ocid {
namespace {

absl::StatusOr<v1::UnpackImageResponse> Unpack(ImageStore& store,
                                               const v1::UnpackImageRequest& request,
                                               std::optional<RootlessOwner> owner) {
  absl::StatusOr<ImageRunConfig> image = store.RunConfig(request.name());
  if (!image.ok()) return image.status();
  SpecRequest spec_request;
  spec_request.image = std::make_shared<const ImageRunConfig>(*std::move(image));
  spec_request.image_rootfs = "rootfs";
  if (owner.has_value()) spec_request.image_owner = {owner->uid, owner->gid};
  const SpecPipeline pipeline({MakeImageConfigTransformer()});
  absl::StatusOr<SpecResult> spec = pipeline.Run(spec_request);
  if (!spec.ok()) return spec.status();
  absl::StatusOr<Digest> digest =
      UnpackBundle(store, {.image = request.name(),
                           .directory = request.directory(),
                           .config_json = spec->spec.json().dump(2) + "\n",
                           .owner = owner});
  if (!digest.ok()) return digest.status();
  v1::UnpackImageResponse response;
  response.set_bundle(request.directory());
  response.set_content_digest(digest->ToString());
  return response;
}

}  // namespace

grpc::ServerUnaryReactor* ImageService::Unpack(grpc::CallbackServerContext* context,
                                               const v1::UnpackImageRequest* request,
                                               v1::UnpackImageResponse* response) {
  RequestCheck check;
  if (request->name().empty()) check.Fail("name", "is empty");
  check.AbsolutePath("directory", request->directory());
  std::optional<RootlessOwner> owner;
  if (request->rootless()) {
    const std::optional<Peer> peer = api_.peers.Find(context->peer());
    if (peer.has_value()) owner = RootlessOwner{peer->uid, peer->gid};
    if (!peer.has_value()) check.Fail("rootless", "who calls is not known on this connection");
  }
  UnaryCall<v1::UnpackImageResponse> call(api_, context, *request, response);
  if (call.Refused(check)) return call.reactor();
  workers_.Post([this, request, call, owner]() mutable {
    call.Finish(ocid::Unpack(store_, *request, owner));
  });
  return call.reactor();
}

}  // namespace ocid
