#include "daemon/api/image_service.h"

namespace ocid {

grpc::ServerUnaryReactor* ImageService::Load(grpc::CallbackServerContext* context,
                                             const v1::LoadImageRequest* request,
                                             v1::Image* response) {
  RequestCheck check;
  check.AbsolutePath("path", request->path());
  const absl::StatusOr<Platform> platform = Platform::Parse(request->platform());
  if (!platform.ok()) check.Fail("platform", "is not OS/ARCHITECTURE[/VARIANT]");
  UnaryCall<v1::Image> call(api_, context, *request, response);
  if (call.Refused(check)) return call.reactor();
  workers_.Post([this, request, call, platform = *platform]() mutable {
    const absl::StatusOr<ImageRecord> record =
        store_.Load(request->path(), request->name(), platform);
    if (!record.ok()) return call.Finish(record.status());
    const std::string name =
        !request->name().empty() ? request->name() : record->names.front();
    call.Finish(DescribeImage(store_, *record, name));
  });
  return call.reactor();
}

}  // namespace ocid
