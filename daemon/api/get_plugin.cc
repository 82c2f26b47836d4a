#include "absl/strings/str_cat.h"
#include "daemon/api/api_context.h"
#include "daemon/api/plugin_service.h"
#include "runtime/base/error_details.h"

namespace ocid {

grpc::ServerUnaryReactor* PluginService::Get(grpc::CallbackServerContext* context,
                                             const v1::GetPluginRequest* request,
                                             v1::Plugin* response) {
  RequestCheck check;
  if (request->name().empty()) check.Fail("name", "is empty");
  UnaryCall<v1::Plugin> call(api_, context, *request, response);
  if (call.Refused(check)) return call.reactor();
  const std::vector<PluginReport> reports =
      plugins_ == nullptr ? std::vector<PluginReport>() : plugins_->List();
  for (const PluginReport& report : reports) {
    if (report.name != request->name()) continue;
    call.Finish(DescribePlugin(report));
    return call.reactor();
  }
  call.Finish(MakeError(absl::StatusCode::kNotFound, "PLUGIN_NOT_FOUND",
                        absl::StrCat("plugin ", request->name(), ": not found"),
                        {{"plugin", request->name()}}));
  return call.reactor();
}

}  // namespace ocid
