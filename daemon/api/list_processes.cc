#include "daemon/api/container_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ContainerService::ListProcesses(grpc::CallbackServerContext* context,
                                                          const v1::ListProcessesRequest* request,
                                                          v1::ListProcessesResponse* response) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());

  UnaryCall<v1::ListProcessesResponse> call(api_, context, *request, response);
  if (!call.Refused(check)) {
    api_.containers.ListProcesses(*request, call.Reply());
  }
  return call.reactor();
}

}  // namespace ocid
