#include "daemon/api/system_service.h"

namespace ocid {

grpc::ServerUnaryReactor* SystemService::GetVersion(grpc::CallbackServerContext* context,
                                                    const v1::GetVersionRequest* request,
                                                    v1::Version* response) {
  UnaryCall<v1::Version> call(api_, context, *request, response);
  call.Finish(facts_.info.version());
  return call.reactor();
}

}  // namespace ocid
