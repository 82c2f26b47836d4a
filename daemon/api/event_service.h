// EventService of the API. Thread-safe; `api` outlives the service.
#ifndef OCID_DAEMON_API_EVENT_SERVICE_H_
#define OCID_DAEMON_API_EVENT_SERVICE_H_

#include "daemon/api/api_context.h"
#include "proto/ocid/v1/event.grpc.pb.h"

namespace ocid {

class EventService final : public v1::EventService::CallbackService {
 public:
  explicit EventService(const ApiContext& api) : api_(api) {}

  grpc::ServerWriteReactor<v1::Event>* Watch(grpc::CallbackServerContext* context,
                                             const v1::WatchEventsRequest* request) override;

 private:
  const ApiContext& api_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_API_EVENT_SERVICE_H_
