#include "daemon/api/container_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ContainerService::Delete(grpc::CallbackServerContext* context,
                                                   const v1::DeleteContainerRequest* request,
                                                   v1::DeleteContainerResponse* response) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());
  check.Etag(request->etag());
  check.RequestId(request->request_id());

  UnaryCall<v1::DeleteContainerResponse> call(api_, context, *request, response);
  if (!call.Refused(check)) {
    api_.containers.Delete(*request, CallerOf(api_, *context), call.Reply());
  }
  return call.reactor();
}

}  // namespace ocid
