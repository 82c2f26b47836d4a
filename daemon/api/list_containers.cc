#include "daemon/api/container_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ContainerService::List(grpc::CallbackServerContext* context,
                                                 const v1::ListContainersRequest* request,
                                                 v1::ListContainersResponse* response) {
  RequestCheck check;
  check.Page(request->page_size(), request->page_token());
  check.Filter(request->filter());

  UnaryCall<v1::ListContainersResponse> call(api_, context, *request, response);
  if (!call.Refused(check)) {
    call.Finish(api_.containers.List(*request));
  }
  return call.reactor();
}

}  // namespace ocid
