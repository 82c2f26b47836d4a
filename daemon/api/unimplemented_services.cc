#include "daemon/api/unimplemented_services.h"

#include "daemon/api/status_codec.h"

namespace ocid {
namespace {

constexpr char kPlugins[] = "nri";

grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext* context, std::string_view feature) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(EncodeStatus(NotImplemented(feature, "this version has no NRI plugins")));
  return reactor;
}

}  // namespace

grpc::ServerUnaryReactor* PluginService::List(grpc::CallbackServerContext* context,
                                              const v1::ListPluginsRequest*,
                                              v1::ListPluginsResponse*) {
  return Refuse(context, kPlugins);
}

grpc::ServerUnaryReactor* PluginService::Get(grpc::CallbackServerContext* context,
                                             const v1::GetPluginRequest*, v1::Plugin*) {
  return Refuse(context, kPlugins);
}

}  // namespace ocid
