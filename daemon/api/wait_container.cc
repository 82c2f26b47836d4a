#include <memory>
#include <utility>

#include "daemon/api/container_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ContainerService::Wait(grpc::CallbackServerContext* context,
                                                 const v1::WaitContainerRequest* request,
                                                 v1::WaitContainerResponse* response) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());

  return WaitingCall<v1::WaitContainerResponse>::Start(
      api_, context, *request, response, check,
      [this, request](std::shared_ptr<Cancellation> cancellation,
                      Done<v1::WaitContainerResponse> done) {
        api_.containers.Wait(*request, std::move(cancellation), std::move(done));
      });
}

}  // namespace ocid
