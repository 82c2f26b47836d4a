#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/api/device_service.h"

namespace ocid {

grpc::ServerUnaryReactor* DeviceService::ListErrors(grpc::CallbackServerContext* context,
                                                    const v1::ListDeviceErrorsRequest* request,
                                                    v1::ListDeviceErrorsResponse* response) {
  UnaryCall<v1::ListDeviceErrorsResponse> call(api_, context, *request, response);
  api_.readers.Post([this, call]() mutable {
    const std::shared_ptr<const CdiSnapshot> snapshot = registry_.Refresh();
    v1::ListDeviceErrorsResponse errors;
    for (const std::string& directory : registry_.directories()) errors.add_directories(directory);
    for (const CdiFileError& error : snapshot->errors) {
      v1::ListDeviceErrorsResponse::FileError& entry = *errors.add_errors();
      entry.set_source_file(error.path);
      entry.set_message(error.message);
      for (const std::string& device : error.devices) entry.add_devices(device);
    }
    for (const auto& [device, files] : snapshot->conflicts) {
      v1::ListDeviceErrorsResponse::FileError& entry = *errors.add_errors();
      entry.set_source_file(files.empty() ? "" : files.front());
      entry.set_message(absl::StrCat("defined in several files of the same priority: ",
                                     absl::StrJoin(files, ", ")));
      entry.add_devices(device);
    }
    call.Finish(std::move(errors));
  });
  return call.reactor();
}

}  // namespace ocid
