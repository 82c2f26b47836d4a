#include "daemon/api/exec_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ExecService::Create(grpc::CallbackServerContext* context,
                                              const v1::CreateExecRequest* request,
                                              v1::Exec* response) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());
  check.OptionalExecId("exec_id", request->exec_id());
  check.ExecConfig(request->config());
  check.RequestId(request->request_id());

  UnaryCall<v1::Exec> call(api_, context, *request, response);
  if (!call.Refused(check)) {
    api_.containers.CreateExec(*request, CallerOf(api_, *context), call.Reply());
  }
  return call.reactor();
}

}  // namespace ocid
