#include "daemon/api/exec_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ExecService::Kill(grpc::CallbackServerContext* context,
                                            const v1::KillExecRequest* request,
                                            v1::KillExecResponse* response) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());
  check.ExecId("exec_id", request->exec_id());
  check.Signal("signal", request->signal());
  check.RequestId(request->request_id());

  UnaryCall<v1::KillExecResponse> call(api_, context, *request, response);
  if (!call.Refused(check)) {
    api_.containers.KillExec(*request, CallerOf(api_, *context), call.Reply());
  }
  return call.reactor();
}

}  // namespace ocid
