// PluginService of the API: what this version does not have says so, call by call,
// with UNIMPLEMENTED, NOT_IMPLEMENTED and the feature's name.
//
// Thread-safe.
#ifndef OCID_DAEMON_API_UNIMPLEMENTED_SERVICES_H_
#define OCID_DAEMON_API_UNIMPLEMENTED_SERVICES_H_

#include "grpcpp/support/server_callback.h"
#include "proto/ocid/v1/plugin.grpc.pb.h"

namespace ocid {

class PluginService final : public v1::PluginService::CallbackService {
 public:
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const v1::ListPluginsRequest* request,
                                 v1::ListPluginsResponse* response) override;
  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context,
                                const v1::GetPluginRequest* request, v1::Plugin* response) override;
};

}  // namespace ocid

#endif  // OCID_DAEMON_API_UNIMPLEMENTED_SERVICES_H_
