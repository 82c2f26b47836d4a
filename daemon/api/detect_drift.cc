#include "daemon/api/container_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ContainerService::DetectDrift(grpc::CallbackServerContext* context,
                                                        const v1::DetectDriftRequest* request,
                                                        v1::DetectDriftResponse* response) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());

  UnaryCall<v1::DetectDriftResponse> call(api_, context, *request, response);
  if (!call.Refused(check)) {
    api_.containers.DetectDrift(*request, call.Reply());
  }
  return call.reactor();
}

}  // namespace ocid
