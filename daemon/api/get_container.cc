#include "daemon/api/container_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ContainerService::Get(grpc::CallbackServerContext* context,
                                                const v1::GetContainerRequest* request,
                                                v1::Container* response) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());

  UnaryCall<v1::Container> call(api_, context, *request, response);
  if (!call.Refused(check)) {
    call.Finish(api_.containers.Get(*request));
  }
  return call.reactor();
}

}  // namespace ocid
