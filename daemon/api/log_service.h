// LogService of the API. Thread-safe; `api` and `watcher` outlive the service.
#ifndef OCID_DAEMON_API_LOG_SERVICE_H_
#define OCID_DAEMON_API_LOG_SERVICE_H_

#include "daemon/api/api_context.h"
#include "daemon/logs/directory_watcher.h"
#include "proto/ocid/v1/log.grpc.pb.h"

namespace ocid {

class LogService final : public v1::LogService::CallbackService {
 public:
  LogService(const ApiContext& api, DirectoryWatcher& watcher) : api_(api), watcher_(watcher) {}

  grpc::ServerWriteReactor<v1::LogEntry>* Read(grpc::CallbackServerContext* context,
                                               const v1::ReadLogRequest* request) override;

 private:
  const ApiContext& api_;
  DirectoryWatcher& watcher_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_API_LOG_SERVICE_H_
