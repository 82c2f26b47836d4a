#include "daemon/image/registry_source.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/image/image_errors.h"
#include "daemon/image/json_reader.h"
#include "daemon/image/registry_certificates.h"
#include "runtime/base/error_details.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using nlohmann::json;

constexpr absl::Duration kLongestPause = absl::Seconds(30);
constexpr absl::Duration kPollInterval = absl::Milliseconds(50);

bool MayPass(int code) { return code == 408 || code == 429 || code >= 500; }

absl::Status HttpFailed(const std::string& subject, const HttpResponse& response) {
  // {"errors":[{"code":..,"message":..}]}: the registry's word is worth more than the number.
  std::string detail;
  if (absl::StatusOr<json> body = ParseJson(response.body, {.bytes = size_t{64} << 10}); body.ok()) {
    JsonReader reader(*body, "answer");
    const json* errors = reader.Array("errors");
    if (errors != nullptr && !errors->empty()) {
      JsonReader error((*errors)[0], "error");
      error.Read("message", detail);
    }
  }
  const std::string message = absl::StrCat(subject, ": HTTP ", response.code,
                                           detail.empty() ? "" : ": ", detail.substr(0, 300));
  switch (response.code) {
    case 401:
    case 403:
      return MakeError(absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED", message);
    case 404:
      return MakeError(absl::StatusCode::kNotFound, "IMAGE_NOT_FOUND", message);
    default:
      return MayPass(response.code) ? absl::UnavailableError(message) : ImageInvalid(message);
  }
}

std::string UrlEncode(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || c == '-' || c == '_' || c == '.' || c == '~') {
      encoded += c;
    } else {
      encoded += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return encoded;
}

std::string BasicAuthorization(const Credentials& credentials) {
  return "Basic " + absl::Base64Escape(credentials.user + ":" + credentials.password);
}

// "registry.example:5000" of "https://registry.example:5000/v2/"; empty where there is none.
std::string HostOf(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return "";
  url.remove_prefix(scheme + 3);
  return std::string(url.substr(0, url.find_first_of("/?#")));
}

// "application/json; charset=utf-8" is "application/json".
std::string MediaTypeOf(const HttpResponse& response) {
  const auto header = response.headers.find("content-type");
  if (header == response.headers.end()) return "";
  std::string type = header->second.substr(0, header->second.find(';'));
  while (!type.empty() && type.back() == ' ') type.pop_back();
  return type;
}

}  // namespace

std::map<std::string, std::string> ParseChallenge(std::string_view header) {
  std::map<std::string, std::string> parameters;
  const size_t space = header.find(' ');
  std::string scheme(header.substr(0, space));
  std::transform(scheme.begin(), scheme.end(), scheme.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  parameters[""] = scheme;
  std::string_view rest = space == std::string_view::npos ? "" : header.substr(space + 1);
  while (!rest.empty()) {
    const size_t equals = rest.find('=');
    if (equals == std::string_view::npos) break;
    std::string_view name = rest.substr(0, equals);
    while (!name.empty() && (name.front() == ' ' || name.front() == ',')) name.remove_prefix(1);
    rest = rest.substr(equals + 1);
    std::string value;
    if (rest.starts_with('"')) {
      size_t at = 1;
      for (; at < rest.size() && rest[at] != '"'; ++at) {
        if (rest[at] == '\\' && at + 1 < rest.size()) ++at;
        value += rest[at];
      }
      rest = at < rest.size() ? rest.substr(at + 1) : std::string_view();
    } else {
      const size_t comma = rest.find(',');
      value = std::string(rest.substr(0, comma));
      rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma);
    }
    parameters.emplace(name, std::move(value));
  }
  return parameters;
}

absl::StatusOr<std::unique_ptr<RegistrySource>> RegistrySource::Open(
    const RegistryReference& reference, bool plain_http, RegistryOptions options) {
  const auto& plain_hosts = options.plain_http_hosts;
  const bool configured_plain =
      std::find(plain_hosts.begin(), plain_hosts.end(), reference.host) != plain_hosts.end();
  if (plain_http && !configured_plain && !IsLoopbackHost(reference.host)) {
    return ImageInvalid("registry " + reference.host +
                        ": plain HTTP is for this host, or for registries configured so");
  }
  std::unique_ptr<RegistrySource> source(new RegistrySource(reference, std::move(options)));
  if (const auto mirrors = source->options_.mirrors.find(reference.host);
      mirrors != source->options_.mirrors.end()) {
    for (const std::string& url : mirrors->second) {
      source->endpoints_.push_back({url, url.starts_with("http://"), /*is_mirror=*/true});
    }
  }
  const bool plain = plain_http || configured_plain;
  const std::string host = reference.host == "docker.io" ? "registry-1.docker.io" : reference.host;
  source->endpoints_.push_back({(plain ? "http://" : "https://") + host, plain, false});
  absl::StatusOr<std::optional<Credentials>> credentials =
      ReadCredentials(source->options_.auth_files, reference);
  if (!credentials.ok()) return credentials.status();
  source->credentials_ = *std::move(credentials);
  absl::Status resolved = source->ResolveRoot();
  if (!resolved.ok()) return resolved;
  return source;
}

absl::Status RegistrySource::ResolveRoot() {
  absl::StatusOr<HttpResponse> response = GetManifest(reference_.ManifestName());
  if (!response.ok()) return response.status();
  root_bytes_ = std::move(response->body);
  std::string media_type = MediaTypeOf(*response);
  absl::StatusOr<Manifest> manifest = ParseManifest(root_bytes_, media_type);
  if (!manifest.ok()) return manifest.status();
  std::string payload = root_bytes_;
  if (std::holds_alternative<Schema1Manifest>(*manifest)) {
    absl::StatusOr<std::string> signed_payload = Schema1Payload(root_bytes_);
    if (!signed_payload.ok()) return signed_payload.status();
    payload = *std::move(signed_payload);
    media_type = kDockerSchema1SignedType;
  }
  const Digest::Algorithm algorithm =
      reference_.digest.has_value() ? reference_.digest->algorithm() : Digest::Algorithm::kSha256;
  DigestHasher hasher(algorithm);
  hasher.Update(payload);
  const Digest digest = std::move(hasher).Finish();
  if (reference_.digest.has_value() && digest != *reference_.digest) {
    return ImageInvalid("the registry's manifest has digest " + digest.ToString() + ", not " +
                        reference_.digest->ToString());
  }
  root_ = Descriptor{.media_type = std::move(media_type),
                     .digest = digest,
                     .size_bytes = root_bytes_.size(),
                     .platform = std::nullopt,
                     .annotations = {}};
  return absl::OkStatus();
}

absl::StatusOr<HttpResponse> RegistrySource::GetManifest(const std::string& name) {
  HttpRequest request;
  for (const std::string_view type :
       {kOciIndexType, kOciManifestType, kDockerListType, kDockerSchema2Type,
        kDockerSchema1SignedType, kDockerSchema1Type}) {
    request.headers.push_back("Accept: " + std::string(type));
  }
  request.limit_bytes = options_.manifest_bytes;
  return Get("/manifests/" + name, std::move(request));
}

absl::StatusOr<std::string> RegistrySource::Read(const Descriptor& descriptor,
                                                 uint64_t limit_bytes) {
  if (descriptor.digest == root_->digest) return root_bytes_;
  if (IsIndexType(descriptor.media_type) || IsManifestType(descriptor.media_type)) {
    absl::StatusOr<HttpResponse> response = GetManifest(descriptor.digest.ToString());
    if (!response.ok()) return response.status();
    return std::move(response->body);
  }
  HttpRequest request;
  request.limit_bytes = limit_bytes;
  absl::StatusOr<HttpResponse> response =
      Get("/blobs/" + descriptor.digest.ToString(), std::move(request));
  if (!response.ok()) return response.status();
  return std::move(response->body);
}

absl::Status RegistrySource::Fetch(const Descriptor& descriptor, BlobWriter& writer,
                                   const Progress& progress) {
  // A transfer that breaks off in the middle is no failed attempt where it got further.
  for (int attempt = 0; attempt < options_.attempts; ++attempt) {
    const uint64_t begin = writer.offset();
    if (descriptor.size_bytes > 0 && begin == descriptor.size_bytes) return absl::OkStatus();
    HttpRequest request;
    if (begin > 0) request.headers.push_back(absl::StrCat("Range: bytes=", begin, "-"));
    bool first = true;
    request.sink = [&](int code, std::string_view bytes) -> absl::Status {
      // The whole of it, where the rest was asked for: some servers know no ranges.
      if (std::exchange(first, false) && code == 200 && writer.offset() > 0) {
        absl::Status restarted = writer.Restart();
        if (!restarted.ok()) return restarted;
      }
      absl::Status written = writer.Write(bytes);
      return written.ok() ? progress(writer.offset()) : written;
    };
    request.poll = [&] { return progress(writer.offset()); };
    absl::StatusOr<HttpResponse> response =
        Get("/blobs/" + descriptor.digest.ToString(), std::move(request));
    if (response.ok()) {
      if (descriptor.size_bytes == 0 || writer.offset() >= descriptor.size_bytes) {
        return absl::OkStatus();
      }
    } else if (!absl::IsUnavailable(response.status())) {
      return response.status();
    }
    if (writer.offset() > begin) attempt = -1;
    absl::Status paused = Pause(std::max(attempt, 0), nullptr);
    if (!paused.ok()) return paused;
  }
  return absl::UnavailableError("blob " + descriptor.digest.ToString() + ": broke off after " +
                                std::to_string(writer.offset()) + " bytes, again and again");
}

absl::StatusOr<HttpResponse> RegistrySource::GetUrl(HttpRequest request) const {
  absl::StatusOr<std::string> trusted = ReadCertificates(options_.certs_dir, HostOf(request.url));
  if (!trusted.ok()) return trusted.status();
  request.trusted_certificates = *std::move(trusted);
  return HttpGet(request);
}

absl::StatusOr<HttpResponse> RegistrySource::Get(const std::string& path, HttpRequest request) {
  if (!request.poll) request.poll = options_.poll;
  for (const Endpoint& endpoint : endpoints_) {
    absl::StatusOr<HttpResponse> response = GetFrom(endpoint, path, request);
    if (response.ok()) return response;
    // The registry's own answer is the one to tell.
    if (!endpoint.is_mirror) return response;
  }
  return absl::UnavailableError("no endpoint");
}

absl::StatusOr<HttpResponse> RegistrySource::GetFrom(const Endpoint& endpoint,
                                                     const std::string& path,
                                                     const HttpRequest& request) {
  bool asked_for_credentials = false;
  absl::Status failure;
  for (int attempt = 0; attempt < options_.attempts;) {
    HttpRequest attempted = request;
    attempted.url = endpoint.base_url + "/v2/" + reference_.repository + path;
    attempted.allow_plain_http = endpoint.allow_plain_http;
    {
      MutexLock lock(mutex_);
      if (const auto found = authorization_.find(endpoint.base_url);
          found != authorization_.end()) {
        attempted.headers.push_back("Authorization: " + found->second);
      }
    }
    absl::StatusOr<HttpResponse> response = GetUrl(attempted);
    if (!response.ok()) {
      // With a sink, bytes may have gone through: what comes next depends on how many.
      if (!absl::IsUnavailable(response.status()) || request.sink) return response;
      failure = response.status();
    } else if (response->code >= 200 && response->code < 300) {
      return response;
    } else if (response->code == 401 && !asked_for_credentials) {
      asked_for_credentials = true;
      absl::Status authenticated =
          Authenticate(endpoint, response->headers["www-authenticate"]);
      if (!authenticated.ok()) return authenticated;
      continue;
    } else {
      failure = HttpFailed(attempted.url, *response);
      if (!MayPass(response->code)) return failure;
    }
    if (++attempt == options_.attempts) break;
    absl::Status paused = Pause(attempt, response.ok() ? &*response : nullptr);
    if (!paused.ok()) return paused;
  }
  return failure;
}

absl::Status RegistrySource::Authenticate(const Endpoint& endpoint, const std::string& challenge) {
  std::map<std::string, std::string> parameters = ParseChallenge(challenge);
  std::string authorization;
  if (parameters[""] == "basic") {
    if (!credentials_.has_value()) {
      return MakeError(absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
                       "registry " + reference_.host + " asks for a name and password");
    }
    authorization = BasicAuthorization(*credentials_);
  } else if (parameters[""] == "bearer" && !parameters["realm"].empty()) {
    HttpRequest request;
    const std::string& realm = parameters["realm"];
    const std::string scope = "repository:" + reference_.repository + ":pull";
    request.url = realm + (realm.find('?') == std::string::npos ? "?" : "&") +
                  "service=" + UrlEncode(parameters["service"]) + "&scope=" + UrlEncode(scope);
    request.allow_plain_http = endpoint.allow_plain_http;
    request.limit_bytes = size_t{1} << 20;
    request.poll = options_.poll;
    if (credentials_.has_value()) {
      request.headers.push_back("Authorization: " + BasicAuthorization(*credentials_));
    }
    absl::StatusOr<HttpResponse> response = GetUrl(std::move(request));
    if (!response.ok()) return response.status();
    if (response->code != 200) return HttpFailed(realm, *response);
    absl::StatusOr<json> body = ParseJson(response->body);
    if (!body.ok()) return ImageInvalid(realm + ": the token is not JSON");
    JsonReader reader(*body, "token");
    std::string token;
    reader.Read("access_token", token);
    reader.Read("token", token);
    if (!reader.status().ok()) return reader.status();
    // A header's value: nothing in it may end the line.
    const bool printable =
        std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
    if (token.empty() || !printable) return ImageInvalid(realm + ": gives no token");
    authorization = "Bearer " + token;
  } else {
    return MakeError(absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
                     "registry " + reference_.host + " asks for authentication of an unknown kind");
  }
  MutexLock lock(mutex_);
  authorization_[endpoint.base_url] = std::move(authorization);
  return absl::OkStatus();
}

absl::Status RegistrySource::Pause(int attempt, const HttpResponse* response) {
  absl::Duration pause = options_.first_pause * (1 << std::min(attempt, 10));
  if (response != nullptr) {
    const auto header = response->headers.find("retry-after");
    int seconds = 0;
    if (header != response->headers.end() && absl::SimpleAtoi(header->second, &seconds)) {
      pause = std::max(pause, absl::Seconds(std::max(seconds, 0)));
    }
  }
  pause = std::min(pause, kLongestPause);
  for (absl::Duration waited; waited < pause; waited += kPollInterval) {
    if (options_.poll) {
      absl::Status status = options_.poll();
      if (!status.ok()) return status;
    }
    std::this_thread::sleep_for(absl::ToChronoNanoseconds(std::min(kPollInterval, pause - waited)));
  }
  return absl::OkStatus();
}

}  // namespace ocid
