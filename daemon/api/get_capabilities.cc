#include "daemon/api/system_service.h"

namespace ocid {

grpc::ServerUnaryReactor* SystemService::GetCapabilities(grpc::CallbackServerContext* context,
                                                         const v1::GetCapabilitiesRequest* request,
                                                         v1::Capabilities* response) {
  UnaryCall<v1::Capabilities> call(api_, context, *request, response);
  call.Finish(facts_.capabilities);
  return call.reactor();
}

}  // namespace ocid
