#include "daemon/image/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>
#include <utility>

#include "daemon/image/image_errors.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

constexpr size_t kMaxErrorBody = size_t{64} << 10;
constexpr size_t kMaxHeaderBytes = size_t{256} << 10;

struct FreeHandle {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

struct Transfer {
  const HttpRequest& request;
  HttpResponse response;
  absl::Status status;
  size_t header_bytes = 0;
};

bool IsSuccess(int code) { return code >= 200 && code < 300; }

size_t OnHeader(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view line(data, size * count);
  transfer.header_bytes += line.size();
  if (transfer.header_bytes > kMaxHeaderBytes) return 0;
  if (line.starts_with("HTTP/")) {
    // The answer after a redirect begins anew.
    transfer.response.headers.clear();
    const size_t space = line.find(' ');
    transfer.response.code =
        space == std::string_view::npos ? 0 : std::atoi(std::string(line.substr(space + 1)).c_str());
    return line.size();
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && std::isspace(static_cast<unsigned char>(value.front()))) {
    value.remove_prefix(1);
  }
  while (!value.empty() && std::isspace(static_cast<unsigned char>(value.back()))) {
    value.remove_suffix(1);
  }
  transfer.response.headers[name] = std::string(value);
  return line.size();
}

size_t OnBody(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view bytes(data, size * count);
  const int code = transfer.response.code;
  if (IsSuccess(code) && transfer.request.sink) {
    transfer.status = transfer.request.sink(code, bytes);
    return transfer.status.ok() ? bytes.size() : 0;
  }
  std::string& body = transfer.response.body;
  if (!IsSuccess(code)) {
    body.append(bytes.substr(0, kMaxErrorBody - std::min(kMaxErrorBody, body.size())));
    return bytes.size();
  }
  if (body.size() + bytes.size() > transfer.request.limit_bytes) {
    transfer.status = ImageInvalid("an answer of more than " +
                                   std::to_string(transfer.request.limit_bytes) + " bytes");
    return 0;
  }
  body.append(bytes);
  return bytes.size();
}

int OnProgress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (!transfer.request.poll || !transfer.status.ok()) return 0;
  transfer.status = transfer.request.poll();
  return transfer.status.ok() ? 0 : 1;
}

bool IsPermanent(CURLcode code) {
  switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_TOO_MANY_REDIRECTS:
      return true;
    default:
      return false;
  }
}

// What may help, where something may.
const char* Hint(CURLcode code) {
  switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
      return " (certificates to trust beside the host's: registry-certs-dir)";
    case CURLE_SSL_CONNECT_ERROR:
      return " (where a registry has no TLS: --plain-http, registry-plain-http)";
    default:
      return "";
  }
}

}  // namespace

absl::StatusOr<HttpResponse> HttpGet(const HttpRequest& request) {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, FreeHandle> handle(curl_easy_init());
  if (initialised != CURLE_OK || handle == nullptr) {
    return MakeError(absl::StatusCode::kInternal, "INTERNAL", "libcurl does not start");
  }
  std::unique_ptr<curl_slist, FreeList> headers;
  for (const std::string& header : request.headers) {
    curl_slist* longer = curl_slist_append(headers.get(), header.c_str());
    if (longer == nullptr) return MakeError(absl::StatusCode::kInternal, "INTERNAL", "no memory");
    static_cast<void>(headers.release());
    headers.reset(longer);
  }
  Transfer transfer{.request = request, .response = {}, .status = absl::OkStatus()};
  std::array<char, CURL_ERROR_SIZE> error = {};
  CURL* const curl = handle.get();
  const char* const protocols = request.allow_plain_http ? "http,https" : "https";
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols);
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 5L);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "ocid");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(absl::ToInt64Milliseconds(request.connect_timeout)));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
                   static_cast<long>(absl::ToInt64Seconds(request.stall)));
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 512L * 1024);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error.data());
  // In the place of the bundle of the host's authorities; their folder (CURLOPT_CAPATH) stays.
  curl_blob trusted = {const_cast<char*>(request.trusted_certificates.data()),
                       request.trusted_certificates.size(), CURL_BLOB_NOCOPY};
  if (trusted.len > 0) curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &trusted);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, OnHeader);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, OnBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, OnProgress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);

  const CURLcode result = curl_easy_perform(curl);
  if (!transfer.status.ok()) return transfer.status;
  if (result != CURLE_OK) {
    const std::string message =
        request.url + ": " + (error[0] != '\0' ? error.data() : curl_easy_strerror(result)) +
        Hint(result);
    return IsPermanent(result) ? absl::FailedPreconditionError(message)
                               : absl::UnavailableError(message);
  }
  return std::move(transfer.response);
}

}  // namespace ocid
