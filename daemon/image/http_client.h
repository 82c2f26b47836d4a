// HttpGet: one GET through libcurl, with bounds.
//
// TLS is verified against the host's certificates, and those that the request trusts. Redirects are followed, at most 5, over https alone
// unless plain HTTP was allowed; credentials do not go along to another host. A transfer that stands
// still for `stall` ends.
//
// Thread-safe. Blocks. The status tells of transport; an HTTP error is an answer like another.
#ifndef OCID_DAEMON_IMAGE_HTTP_CLIENT_H_
#define OCID_DAEMON_IMAGE_HTTP_CLIENT_H_

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ocid {

struct HttpRequest {
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  bool allow_plain_http = false;
  std::string trusted_certificates;  // PEM; beside the host's own
  absl::Duration connect_timeout = absl::Seconds(30);
  absl::Duration stall = absl::Seconds(60);
  // Called with the body of a 2xx answer, and with the answer's code. Empty: the body is collected.
  std::function<absl::Status(int code, std::string_view bytes)> sink;
  // Called now and then, also while nothing comes. An error ends the transfer with it.
  std::function<absl::Status()> poll;
  size_t limit_bytes = size_t{8} << 20;  // of a collected body
};

struct HttpResponse {
  int code = 0;
  std::map<std::string, std::string> headers;  // names in lower case; of the last answer
  std::string body;  // collected: without a sink, and of what is not 2xx up to 64 KiB
};

// UNAVAILABLE for what may work when tried again, FAILED_PRECONDITION for what will not (TLS,
// protocols), INVALID_ARGUMENT beyond the limit; errors of sink and poll as they are.
absl::StatusOr<HttpResponse> HttpGet(const HttpRequest& request);

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_HTTP_CLIENT_H_
