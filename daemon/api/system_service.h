// SystemService of the API. Thread-safe; `api` and `facts` outlive the service.
#ifndef OCID_DAEMON_API_SYSTEM_SERVICE_H_
#define OCID_DAEMON_API_SYSTEM_SERVICE_H_

#include <functional>
#include <string>
#include <utility>

#include "daemon/api/api_context.h"
#include "proto/ocid/v1/system.grpc.pb.h"

namespace ocid {

// What does not change while the daemon runs.
struct SystemFacts {
  v1::Info info;  // but what ContainerManager knows: containers, quarantined records, events
  v1::Capabilities capabilities;
};

// The kernel, the machine and this build, as far as they can be told without the daemon's parts:
// those are left for the caller to fill. Blocks on /proc.
SystemFacts ReadSystemFacts();

class SystemService final : public v1::SystemService::CallbackService {
 public:
  // `dump`: what DumpDebug answers, as JSON; may block, may be null.
  SystemService(const ApiContext& api, const SystemFacts& facts, std::function<std::string()> dump)
      : api_(api), facts_(facts), dump_(std::move(dump)) {}

  grpc::ServerUnaryReactor* GetVersion(grpc::CallbackServerContext* context,
                                       const v1::GetVersionRequest* request,
                                       v1::Version* response) override;
  grpc::ServerUnaryReactor* GetInfo(grpc::CallbackServerContext* context,
                                    const v1::GetInfoRequest* request, v1::Info* response) override;
  grpc::ServerUnaryReactor* GetCapabilities(grpc::CallbackServerContext* context,
                                            const v1::GetCapabilitiesRequest* request,
                                            v1::Capabilities* response) override;
  grpc::ServerUnaryReactor* DumpDebug(grpc::CallbackServerContext* context,
                                      const v1::DumpDebugRequest* request,
                                      v1::DebugDump* response) override;

 private:
  const ApiContext& api_;
  const SystemFacts& facts_;
  const std::function<std::string()> dump_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_API_SYSTEM_SERVICE_H_
