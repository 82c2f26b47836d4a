#include <memory>
#include <utility>

#include "daemon/api/exec_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ExecService::Wait(grpc::CallbackServerContext* context,
                                            const v1::WaitExecRequest* request,
                                            v1::WaitExecResponse* response) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());
  check.ExecId("exec_id", request->exec_id());

  return WaitingCall<v1::WaitExecResponse>::Start(
      api_, context, *request, response, check,
      [this, request](std::shared_ptr<Cancellation> cancellation, Done<v1::WaitExecResponse> done) {
        api_.containers.WaitExec(*request, std::move(cancellation), std::move(done));
      });
}

}  // namespace ocid
