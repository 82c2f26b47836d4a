#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/escaping.h"
#include "daemon/api/device_service.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;

// A token is the name of the last device of the page before.
absl::StatusOr<std::string> ParseToken(const std::string& token) {
  std::string name;
  if (!absl::WebSafeBase64Unescape(token, &name) || (name.empty() && !token.empty())) {
    return MakeError(absl::StatusCode::kInvalidArgument, "INVALID_PAGE_TOKEN",
                     "page_token: is not from an answer of this list");
  }
  return name;
}

v1::ListDevicesResponse PageAfter(const CdiSnapshot& snapshot, const std::string& last,
                                  int page_size) {
  v1::ListDevicesResponse page;
  auto at = snapshot.devices.upper_bound(last);
  for (; at != snapshot.devices.end() && page.devices_size() < page_size; ++at) {
    *page.add_devices() = DescribeDevice(at->first, at->second, /*with_edits=*/false);
  }
  if (at != snapshot.devices.end()) {
    page.set_next_page_token(
        absl::WebSafeBase64Escape(page.devices(page.devices_size() - 1).name()));
  }
  return page;
}

}  // namespace

grpc::ServerUnaryReactor* DeviceService::List(grpc::CallbackServerContext* context,
                                              const v1::ListDevicesRequest* request,
                                              v1::ListDevicesResponse* response) {
  RequestCheck check;
  check.Page(request->page_size(), request->page_token());
  UnaryCall<v1::ListDevicesResponse> call(api_, context, *request, response);
  if (call.Refused(check)) return call.reactor();
  const absl::StatusOr<std::string> last = ParseToken(request->page_token());
  if (!last.ok()) {
    call.Finish(last.status());
    return call.reactor();
  }
  const int page_size =
      request->page_size() == 0 ? kDefaultPageSize : std::min(request->page_size(), kMaxPageSize);
  api_.readers.Post([this, call, last = *last, page_size]() mutable {
    const std::shared_ptr<const CdiSnapshot> snapshot = registry_.Refresh();
    call.Finish(PageAfter(*snapshot, last, page_size));
  });
  return call.reactor();
}

}  // namespace ocid
