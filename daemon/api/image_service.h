// ImageService of the API: each RPC in a file of its name.
//
// Everything but Get, List and Delete of a name may take long: it runs on threads of its own, so that a
// pull from a slow registry keeps nobody else waiting.
//
// Thread-safe; what the constructor takes outlives the service, and no call is under way when it goes.
#ifndef OCID_DAEMON_API_IMAGE_SERVICE_H_
#define OCID_DAEMON_API_IMAGE_SERVICE_H_

#include "daemon/api/api_context.h"
#include "daemon/base/thread_pool.h"
#include "daemon/image/image_store.h"
#include "daemon/image/registry_source.h"
#include "proto/ocid/v1/image.grpc.pb.h"

namespace ocid {

// One name of an image, as the API has it; an image without names counts as named by its digest.
v1::Image DescribeImage(const ImageStore& store, const ImageRecord& record,
                        const std::string& name);

class ImageService final : public v1::ImageService::CallbackService {
 public:
  ImageService(const ApiContext& api, ImageStore& store, ThreadPool& workers,
               RegistryOptions registries)
      : api_(api), store_(store), workers_(workers), registries_(std::move(registries)) {}

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
  grpc::ServerWriteReactor<v1::VerifyBundleResponse>* VerifyBundle(
      grpc::CallbackServerContext* context, const v1::VerifyBundleRequest* request) override;
  grpc::ServerUnaryReactor* DigestBundle(grpc::CallbackServerContext* context,
                                         const v1::DigestBundleRequest* request,
                                         v1::DigestBundleResponse* response) override;
  grpc::ServerUnaryReactor* Save(grpc::CallbackServerContext* context,
                                 const v1::SaveImageRequest* request,
                                 v1::SaveImageResponse* response) override;
  grpc::ServerUnaryReactor* GetUsage(grpc::CallbackServerContext* context,
                                     const v1::GetImageUsageRequest* request,
                                     v1::ImageUsage* response) override;
  grpc::ServerUnaryReactor* Delete(grpc::CallbackServerContext* context,
                                   const v1::DeleteImageRequest* request,
                                   v1::DeleteImageResponse* response) override;
  grpc::ServerUnaryReactor* Prune(grpc::CallbackServerContext* context,
                                  const v1::PruneImagesRequest* request,
                                  v1::PruneImagesResponse* response) override;

 private:
  const ApiContext& api_;
  ImageStore& store_;
  ThreadPool& workers_;
  const RegistryOptions registries_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_API_IMAGE_SERVICE_H_
