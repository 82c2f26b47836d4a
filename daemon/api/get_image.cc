#include "absl/time/time.h"
#include "daemon/api/image_service.h"
#include "google/protobuf/util/time_util.h"

namespace ocid {

v1::Image DescribeImage(const ImageStore& store, const ImageRecord& record,
                        const std::string& name) {
  v1::Image image;
  image.set_name(name);
  image.set_digest(record.manifest.ToString());
  image.set_media_type(record.manifest_type);
  image.set_size_bytes(record.size_bytes);
  image.set_platform(record.platform.ToString());
  absl::Time created;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, record.created, &created, &error)) {
    const timespec time = absl::ToTimespec(created);
    image.mutable_create_time()->set_seconds(time.tv_sec);
    image.mutable_create_time()->set_nanos(static_cast<int32_t>(time.tv_nsec));
  }
  *image.mutable_load_time() =
      google::protobuf::util::TimeUtil::NanosecondsToTimestamp(record.load_time_unix_ns);
  for (const std::string& holder : store.Holders(record.manifest)) {
    if (!holder.empty()) image.add_container_ids(holder);
  }
  return image;
}

grpc::ServerUnaryReactor* ImageService::Get(grpc::CallbackServerContext* context,
                                            const v1::GetImageRequest* request,
                                            v1::Image* response) {
  RequestCheck check;
  if (request->name().empty()) check.Fail("name", "is empty");
  UnaryCall<v1::Image> call(api_, context, *request, response);
  if (call.Refused(check)) return call.reactor();
  const absl::StatusOr<ImageRecord> record = store_.Get(request->name());
  call.Finish(record.ok() ? DescribeImage(store_, *record, request->name())
                          : absl::StatusOr<v1::Image>(record.status()));
  return call.reactor();
}

}  // namespace ocid
