#include "daemon/api/container_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ContainerService::Start(grpc::CallbackServerContext* context,
                                                  const v1::StartContainerRequest* request,
                                                  v1::Container* response) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());
  check.RequestId(request->request_id());

  UnaryCall<v1::Container> call(api_, context, *request, response);
  if (!call.Refused(check)) {
    api_.containers.Start(*request, CallerOf(api_, *context), call.Reply());
  }
  return call.reactor();
}

}  // namespace ocid
