#include <string>
#include <utility>

#include "daemon/api/system_service.h"
#include "daemon/events/event_log.h"

namespace ocid {

grpc::ServerUnaryReactor* SystemService::GetInfo(grpc::CallbackServerContext* context,
                                                 const v1::GetInfoRequest* request, v1::Info* response) {
  ManagerInfo now = api_.containers.GetInfo();
  v1::Info info = facts_.info;
  for (const auto& [state, count] : now.containers_by_state) {
    (*info.mutable_containers_by_state())[state] = count;
  }
  for (std::string& name : now.quarantined) info.add_quarantined(std::move(name));
  for (std::string& warning : now.warnings) info.add_warnings(std::move(warning));
  info.set_last_event_sequence(api_.containers.events().last_sequence());
  UnaryCall<v1::Info> call(api_, context, *request, response);
  call.Finish(std::move(info));
  return call.reactor();
}

}  // namespace ocid
