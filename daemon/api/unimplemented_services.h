// ImageService and PluginService of the API: what this version does not have says so, call by call,
// with UNIMPLEMENTED, NOT_IMPLEMENTED and the feature's name.
//
// Thread-safe.
#ifndef OCID_DAEMON_API_UNIMPLEMENTED_SERVICES_H_
#define OCID_DAEMON_API_UNIMPLEMENTED_SERVICES_H_

#include "grpcpp/support/server_callback.h"
#include "proto/ocid/v1/image.grpc.pb.h"
#include "proto/ocid/v1/plugin.grpc.pb.h"

namespace ocid {

class ImageService final : public v1::ImageService::CallbackService {
 public:
  grpc::ServerWriteReactor<v1::PullImageResponse>* Pull(
      grpc::CallbackServerContext* context, const v1::PullImageRequest* request) override;
  grpc::ServerUnaryReactor* Load(grpc::CallbackServerContext* context,
                                 const v1::LoadImageRequest* request, v1::Image* response) override;
  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context,
                                const v1::GetImageRequest* request, v1::Image* response) override;
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const v1::ListImagesRequest* request,
                                 v1::ListImagesResponse* response) override;
  grpc::ServerUnaryReactor* Inspect(grpc::CallbackServerContext* context,
                                    const v1::InspectImageRequest* request,
                                    v1::InspectImageResponse* response) override;
  grpc::ServerUnaryReactor* Unpack(grpc::CallbackServerContext* context,
                                   const v1::UnpackImageRequest* request,
                                   v1::UnpackImageResponse* response) override;
  grpc::ServerUnaryReactor* Delete(grpc::CallbackServerContext* context,
                                   const v1::DeleteImageRequest* request,
                                   v1::DeleteImageResponse* response) override;
  grpc::ServerUnaryReactor* Prune(grpc::CallbackServerContext* context,
                                  const v1::PruneImagesRequest* request,
                                  v1::PruneImagesResponse* response) override;
};

class PluginService final : public v1::PluginService::CallbackService {
 public:
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const v1::ListPluginsRequest* request,
                                 v1::ListPluginsResponse* response) override;
  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context,
                                const v1::GetPluginRequest* request, v1::Plugin* response) override;
};

}  // namespace ocid

#endif  // OCID_DAEMON_API_UNIMPLEMENTED_SERVICES_H_
