#include "daemon/api/container_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ContainerService::Stop(grpc::CallbackServerContext* context,
                                                 const v1::StopContainerRequest* request,
                                                 v1::Container* response) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());
  check.Signal("signal", request->signal());
  if (request->has_grace()) check.Duration("grace", request->grace());
  check.RequestId(request->request_id());

  UnaryCall<v1::Container> call(api_, context, *request, response);
  if (!call.Refused(check)) {
    api_.containers.Stop(*request, CallerOf(api_, *context), call.Reply());
  }
  return call.reactor();
}

}  // namespace ocid
