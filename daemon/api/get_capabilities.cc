#include "daemon/api/system_service.h"

namespace ocid {

grpc::ServerUnaryReactor* SystemService::GetCapabilities(grpc::CallbackServerContext* context,
                                                         const v1::GetCapabilitiesRequest*,
                                                         v1::Capabilities* response) {
  UnaryCall<v1::Capabilities> call(context, response);
  call.Finish(facts_.capabilities);
  return call.reactor();
}

}  // namespace ocid
