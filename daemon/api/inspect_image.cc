#include "daemon/api/image_service.h"

namespace ocid {
namespace {

absl::StatusOr<v1::InspectImageResponse> Describe(const ImageStore& store,
                                                  const std::string& name) {
  absl::StatusOr<ImageDetails> details = store.Inspect(name);
  if (!details.ok()) return details.status();
  v1::InspectImageResponse response;
  *response.mutable_image() = DescribeImage(store, details->record, name);
  response.set_oci_config_json(details->forms.oci_json);
  response.set_docker_config_json(details->forms.docker_json);
  response.set_manifest_json(details->manifest_json);
  for (const StoredLayer& stored : details->record.layers) {
    v1::InspectImageResponse::Layer& layer = *response.add_layers();
    layer.set_digest(stored.digest.ToString());
    layer.set_diff_id(stored.diff_id.ToString());
    layer.set_media_type(stored.media_type);
    layer.set_size_bytes(stored.size_bytes);
  }
  *response.mutable_annotations() = {details->annotations.begin(), details->annotations.end()};
  return response;
}

}  // namespace

grpc::ServerUnaryReactor* ImageService::Inspect(grpc::CallbackServerContext* context,
                                                const v1::InspectImageRequest* request,
                                                v1::InspectImageResponse* response) {
  RequestCheck check;
  if (request->name().empty()) check.Fail("name", "is empty");
  UnaryCall<v1::InspectImageResponse> call(api_, context, *request, response);
  if (call.Refused(check)) return call.reactor();
  api_.readers.Post([this, request, call]() mutable {
    call.Finish(Describe(store_, request->name()));
  });
  return call.reactor();
}

}  // namespace ocid
