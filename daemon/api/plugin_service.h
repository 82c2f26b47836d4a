// PluginService of the API. Thread-safe; `api` and `plugins`, which may be null (no NRI), outlive the
// service.
// Nothing blocks.
#ifndef OCID_DAEMON_API_PLUGIN_SERVICE_H_
#define OCID_DAEMON_API_PLUGIN_SERVICE_H_

#include "daemon/api/api_context.h"
#include "daemon/nri/nri_host.h"
#include "grpcpp/support/server_callback.h"
#include "proto/ocid/v1/plugin.grpc.pb.h"

namespace ocid {

v1::Plugin DescribePlugin(const PluginReport& report);

class PluginService final : public v1::PluginService::CallbackService {
 public:
  PluginService(const ApiContext& api, const NriHost* plugins) : api_(api), plugins_(plugins) {}

  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const v1::ListPluginsRequest* request,
                                 v1::ListPluginsResponse* response) override;
  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context,
                                const v1::GetPluginRequest* request, v1::Plugin* response) override;

 private:
  const ApiContext& api_;
  const NriHost* const plugins_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_API_PLUGIN_SERVICE_H_
