#include "daemon/api/container_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ContainerService::Update(grpc::CallbackServerContext* context,
                                                   const v1::UpdateContainerRequest* request,
                                                   v1::Container* response) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());
  check.UpdateMask(request->update_mask());
  check.Resources("resources", request->resources());
  check.Labels("labels", request->labels());
  check.RestartPolicy("restart_policy", request->restart_policy());
  check.Etag(request->etag());
  check.RequestId(request->request_id());

  UnaryCall<v1::Container> call(api_, context, *request, response);
  if (!call.Refused(check)) {
    api_.containers.Update(*request, CallerOf(api_, *context), call.Reply());
  }
  return call.reactor();
}

}  // namespace ocid
