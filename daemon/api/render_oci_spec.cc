#include "daemon/api/container_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ContainerService::RenderOciSpec(grpc::CallbackServerContext* context,
                                                          const v1::RenderOciSpecRequest* request,
                                                          v1::OciSpecHistory* response) {
  RequestCheck check;
  check.OptionalContainerId("container_id", request->container_id());
  check.Config(request->config());

  UnaryCall<v1::OciSpecHistory> call(api_, context, *request, response);
  if (!call.Refused(check)) {
    api_.containers.RenderOciSpec(*request, call.Reply());
  }
  return call.reactor();
}

}  // namespace ocid
