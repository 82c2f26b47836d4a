#include <memory>
#include <utility>

#include "daemon/api/device_service.h"
#include "google/protobuf/util/time_util.h"
#include "runtime/base/error_details.h"

namespace ocid {

v1::Device DescribeDevice(const std::string& name, const CdiDeviceEntry& entry, bool with_edits) {
  v1::Device device;
  device.set_name(name);
  device.set_source_file(entry.file->path);
  device.set_source_sha256(entry.file->sha256);
  *device.mutable_source_modify_time() = google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
      absl::ToUnixNanos(entry.file->modify_time));
  device.set_cdi_version(entry.spec().version);
  if (with_edits) {
    device.set_edits_json(CdiEditsJson(entry.device().edits));
    device.set_file_edits_json(CdiEditsJson(entry.spec().edits));
  }
  for (const auto& [key, value] : entry.spec().annotations) {
    (*device.mutable_annotations())[key] = value;
  }
  for (const auto& [key, value] : entry.device().annotations) {
    (*device.mutable_annotations())[key] = value;
  }
  return device;
}

grpc::ServerUnaryReactor* DeviceService::Get(grpc::CallbackServerContext* context,
                                             const v1::GetDeviceRequest* request,
                                             v1::Device* response) {
  RequestCheck check;
  if (request->name().empty()) check.Fail("name", "is empty");
  UnaryCall<v1::Device> call(api_, context, *request, response);
  if (call.Refused(check)) return call.reactor();
  api_.readers.Post([this, request, call]() mutable {
    const std::shared_ptr<const CdiSnapshot> snapshot = registry_.Refresh();
    const absl::StatusOr<CdiDeviceEntry> entry = snapshot->Find(request->name());
    if (entry.ok()) {
      call.Finish(DescribeDevice(request->name(), *entry, /*with_edits=*/true));
    } else {
      call.Finish(MakeError(entry.status().code(), "DEVICE_NOT_FOUND",
                            std::string(entry.status().message()), {{"device", request->name()}}));
    }
  });
  return call.reactor();
}

}  // namespace ocid
