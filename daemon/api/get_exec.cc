#include "daemon/api/exec_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ExecService::Get(grpc::CallbackServerContext* context,
                                           const v1::GetExecRequest* request, v1::Exec* response) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());
  check.ExecId("exec_id", request->exec_id());

  UnaryCall<v1::Exec> call(api_, context, *request, response);
  if (!call.Refused(check)) {
    call.Finish(api_.containers.GetExec(*request));
  }
  return call.reactor();
}

}  // namespace ocid
