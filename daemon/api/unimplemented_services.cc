#include "daemon/api/unimplemented_services.h"

#include "daemon/api/status_codec.h"

namespace ocid {
namespace {

constexpr char kImages[] = "images";
constexpr char kPlugins[] = "nri";

absl::Status Missing(std::string_view feature) {
  return NotImplemented(feature, feature == kImages
                                     ? "this version has no image store: create from a bundle"
                                     : "this version has no NRI plugins");
}

grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext* context, std::string_view feature) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(EncodeStatus(Missing(feature)));
  return reactor;
}

// Ends at once.
class RefusedPull final : public grpc::ServerWriteReactor<v1::PullImageResponse> {
 public:
  RefusedPull() { Finish(EncodeStatus(Missing(kImages))); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerWriteReactor<v1::PullImageResponse>* ImageService::Pull(grpc::CallbackServerContext*,
                                                                    const v1::PullImageRequest*) {
  return new RefusedPull;
}

grpc::ServerUnaryReactor* ImageService::Load(grpc::CallbackServerContext* context,
                                             const v1::LoadImageRequest*, v1::Image*) {
  return Refuse(context, kImages);
}

grpc::ServerUnaryReactor* ImageService::Get(grpc::CallbackServerContext* context,
                                            const v1::GetImageRequest*, v1::Image*) {
  return Refuse(context, kImages);
}

grpc::ServerUnaryReactor* ImageService::List(grpc::CallbackServerContext* context,
                                             const v1::ListImagesRequest*,
                                             v1::ListImagesResponse*) {
  return Refuse(context, kImages);
}

grpc::ServerUnaryReactor* ImageService::Inspect(grpc::CallbackServerContext* context,
                                                const v1::InspectImageRequest*,
                                                v1::InspectImageResponse*) {
  return Refuse(context, kImages);
}

grpc::ServerUnaryReactor* ImageService::Unpack(grpc::CallbackServerContext* context,
                                               const v1::UnpackImageRequest*,
                                               v1::UnpackImageResponse*) {
  return Refuse(context, kImages);
}

grpc::ServerUnaryReactor* ImageService::Delete(grpc::CallbackServerContext* context,
                                               const v1::DeleteImageRequest*,
                                               v1::DeleteImageResponse*) {
  return Refuse(context, kImages);
}

grpc::ServerUnaryReactor* ImageService::Prune(grpc::CallbackServerContext* context,
                                              const v1::PruneImagesRequest*,
                                              v1::PruneImagesResponse*) {
  return Refuse(context, kImages);
}

grpc::ServerUnaryReactor* PluginService::List(grpc::CallbackServerContext* context,
                                              const v1::ListPluginsRequest*,
                                              v1::ListPluginsResponse*) {
  return Refuse(context, kPlugins);
}

grpc::ServerUnaryReactor* PluginService::Get(grpc::CallbackServerContext* context,
                                             const v1::GetPluginRequest*, v1::Plugin*) {
  return Refuse(context, kPlugins);
}

}  // namespace ocid
