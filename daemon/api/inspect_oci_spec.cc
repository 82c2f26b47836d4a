#include "daemon/api/container_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ContainerService::InspectOciSpec(grpc::CallbackServerContext* context,
                                                           const v1::InspectOciSpecRequest* request,
                                                           v1::OciSpecHistory* response) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());

  UnaryCall<v1::OciSpecHistory> call(api_, context, *request, response);
  if (!call.Refused(check)) {
    api_.containers.InspectOciSpec(*request, call.Reply());
  }
  return call.reactor();
}

}  // namespace ocid
