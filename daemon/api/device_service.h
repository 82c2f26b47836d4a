// DeviceService of the API. Thread-safe; `api` and `registry` outlive the service. Looking at the
// CDI folders may block on the disk, so it is done on the readers' threads.
#ifndef OCID_DAEMON_API_DEVICE_SERVICE_H_
#define OCID_DAEMON_API_DEVICE_SERVICE_H_

#include <string>

#include "daemon/api/api_context.h"
#include "daemon/cdi/cdi_registry.h"
#include "proto/ocid/v1/device.grpc.pb.h"

namespace ocid {

// The device as the API has it; without the edits where `with_edits` is false.
v1::Device DescribeDevice(const std::string& name, const CdiDeviceEntry& entry, bool with_edits);

class DeviceService final : public v1::DeviceService::CallbackService {
 public:
  DeviceService(const ApiContext& api, CdiRegistry& registry) : api_(api), registry_(registry) {}

  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const v1::ListDevicesRequest* request,
                                 v1::ListDevicesResponse* response) override;
  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context,
                                const v1::GetDeviceRequest* request, v1::Device* response) override;
  grpc::ServerUnaryReactor* ListErrors(grpc::CallbackServerContext* context,
                                       const v1::ListDeviceErrorsRequest* request,
                                       v1::ListDeviceErrorsResponse* response) override;

 private:
  const ApiContext& api_;
  CdiRegistry& registry_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_API_DEVICE_SERVICE_H_
