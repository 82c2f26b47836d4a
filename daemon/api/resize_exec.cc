#include "daemon/api/exec_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ExecService::Resize(grpc::CallbackServerContext* context,
                                              const v1::ResizeExecRequest* request,
                                              v1::ResizeExecResponse* response) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());
  check.OptionalExecId("exec_id", request->exec_id());
  check.ConsoleSize("size", request->size());

  UnaryCall<v1::ResizeExecResponse> call(api_, context, *request, response);
  if (!call.Refused(check)) {
    api_.containers.ResizeExec(*request, call.Reply());
  }
  return call.reactor();
}

}  // namespace ocid
