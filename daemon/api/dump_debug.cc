#include <utility>

#include "daemon/api/status_codec.h"
#include "daemon/api/system_service.h"

namespace ocid {

grpc::ServerUnaryReactor* SystemService::DumpDebug(grpc::CallbackServerContext* context,
                                                   const v1::DumpDebugRequest* request,
                                                   v1::DebugDump* response) {
  UnaryCall<v1::DebugDump> call(api_, context, *request, response);
  if (call.Refused()) return call.reactor();
  if (dump_ == nullptr) {
    call.Finish(NotImplemented("debug-dump", "this server has nothing to dump"));
    return call.reactor();
  }
  api_.readers.Post([this, call]() mutable {
    v1::DebugDump dump;
    dump.set_json(dump_());
    call.Finish(std::move(dump));
  });
  return call.reactor();
}

}  // namespace ocid
