#include <csignal>

#include "daemon/api/container_service.h"
#include "daemon/base/signal_name.h"

namespace ocid {

grpc::ServerUnaryReactor* ContainerService::Kill(grpc::CallbackServerContext* context,
                                                 const v1::KillContainerRequest* request,
                                                 v1::KillContainerResponse* response) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());
  check.Signal("signal", request->signal());
  if (request->all() && ParseSignal(request->signal()) != SIGKILL) {
    check.Fail("all", "goes with SIGKILL alone");
  }
  check.RequestId(request->request_id());

  UnaryCall<v1::KillContainerResponse> call(api_, context, *request, response);
  if (!call.Refused(check)) {
    api_.containers.Kill(*request, CallerOf(api_, *context), call.Reply());
  }
  return call.reactor();
}

}  // namespace ocid
