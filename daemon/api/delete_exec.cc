#include "daemon/api/exec_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ExecService::Delete(grpc::CallbackServerContext* context,
                                              const v1::DeleteExecRequest* request,
                                              v1::DeleteExecResponse* response) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());
  check.ExecId("exec_id", request->exec_id());
  check.RequestId(request->request_id());

  UnaryCall<v1::DeleteExecResponse> call(api_, context, *request, response);
  if (!call.Refused(check)) {
    api_.containers.DeleteExec(*request, CallerOf(api_, *context), call.Reply());
  }
  return call.reactor();
}

}  // namespace ocid
