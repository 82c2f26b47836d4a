#include "daemon/api/container_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ContainerService::GetStats(grpc::CallbackServerContext* context,
                                                     const v1::GetStatsRequest* request,
                                                     v1::ContainerStats* response) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());

  UnaryCall<v1::ContainerStats> call(api_, context, *request, response);
  if (!call.Refused(check)) {
    api_.containers.GetStats(*request, call.Reply());
  }
  return call.reactor();
}

}  // namespace ocid
