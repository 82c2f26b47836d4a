#include "daemon/api/exec_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ExecService::List(grpc::CallbackServerContext* context,
                                            const v1::ListExecsRequest* request,
                                            v1::ListExecsResponse* response) {
  RequestCheck check;
  check.ContainerId("container_id", request->container_id());
  check.Page(request->page_size(), request->page_token());

  UnaryCall<v1::ListExecsResponse> call(api_, context, *request, response);
  if (!call.Refused(check)) {
    call.Finish(api_.containers.ListExecs(*request));
  }
  return call.reactor();
}

}  // namespace ocid
