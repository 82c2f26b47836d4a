#include <map>
#include <memory>
#include <string>

#include "daemon/api/image_service.h"
#include "daemon/container/page.h"

namespace ocid {
namespace {

absl::StatusOr<v1::ListImagesResponse> PageAfter(const ImageStore& store,
                                                 const v1::ListImagesRequest& request) {
  const absl::StatusOr<size_t> page_size = PageSize(request.page_size());
  if (!page_size.ok()) return page_size.status();
  const absl::StatusOr<std::string> last = ParsePageToken(request.page_token(), "images");
  if (!last.ok()) return last.status();
  const std::shared_ptr<const ImageRecords> records = store.Snapshot();
  std::map<std::string, const ImageRecord*> by_name;
  for (const auto& [manifest, record] : *records) {
    for (const std::string& name : record.names) by_name[name] = &record;
  }
  v1::ListImagesResponse page;
  auto at = by_name.upper_bound(*last);
  for (; at != by_name.end() && static_cast<size_t>(page.images_size()) < *page_size; ++at) {
    *page.add_images() = DescribeImage(store, *at->second, at->first);
  }
  if (at != by_name.end()) {
    page.set_next_page_token(MakePageToken(page.images(page.images_size() - 1).name(), "images"));
  }
  return page;
}

}  // namespace

grpc::ServerUnaryReactor* ImageService::List(grpc::CallbackServerContext* context,
                                             const v1::ListImagesRequest* request,
                                             v1::ListImagesResponse* response) {
  RequestCheck check;
  check.Page(request->page_size(), request->page_token());
  UnaryCall<v1::ListImagesResponse> call(api_, context, *request, response);
  if (call.Refused(check)) return call.reactor();
  call.Finish(PageAfter(store_, *request));
  return call.reactor();
}

}  // namespace ocid
