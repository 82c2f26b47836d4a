// RegistrySource: an image in a registry, over the distribution API.
//
//   auto source = RegistrySource::Open(reference, options);      // resolves the tag
//   store.Import(**source, (*source)->root(), {.names = {reference.ToString()}, ...});
//
// Mirrors are asked before the registry itself, and whatever they answer is verified by digest; the
// tag's digest is theirs to say, as with every mirror. What fails for reasons that may pass (transport,
// 429, 5xx) is tried again, with growing pauses; a blob goes on where it broke off.
//
// A registry may ask for a name and password (Basic), or for a token from a server that it names
// (Bearer); the name and password go to that server over TLS alone, or where plain HTTP is allowed.
//
// Thread-safe; every call blocks. Errors: IMAGE_NOT_FOUND, IMAGE_INVALID, PERMISSION_DENIED,
// UNAVAILABLE.
// Source: distribution-spec; distribution "Token Authentication Specification".
#ifndef OCID_DAEMON_IMAGE_REGISTRY_SOURCE_H_
#define OCID_DAEMON_IMAGE_REGISTRY_SOURCE_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/image/http_client.h"
#include "daemon/image/image_source.h"
#include "daemon/image/registry_credentials.h"
#include "daemon/image/registry_reference.h"
#include "runtime/base/mutex.h"

namespace ocid {

struct RegistryOptions {
  std::vector<std::string> auth_files = {};
  // Registries that are spoken to without TLS, beside those on this host that a request says so for.
  std::vector<std::string> plain_http_hosts = {};
  // By host: base URLs that are asked first, "https://mirror.example".
  std::map<std::string, std::vector<std::string>> mirrors = {};
  // DIR/HOST[:PORT]/*.crt are trusted for that host beside the host's own authorities. Empty: none.
  std::string certs_dir = {};
  size_t manifest_bytes = kDefaultManifestBytes;
  int attempts = 5;
  absl::Duration first_pause = absl::Milliseconds(250);  // doubles each time
  // An error ends what is under way; called while waiting.
  std::function<absl::Status()> poll = {};
};

class RegistrySource : public ImageSource {
 public:
  static absl::StatusOr<std::unique_ptr<RegistrySource>> Open(const RegistryReference& reference,
                                                              bool plain_http,
                                                              RegistryOptions options);

  // The index or manifest that the reference names.
  const Descriptor& root() const { return *root_; }

  absl::StatusOr<std::string> Read(const Descriptor& descriptor, uint64_t limit_bytes) override;
  absl::Status Fetch(const Descriptor& descriptor, BlobWriter& writer,
                     const Progress& progress) override;

 private:
  struct Endpoint {
    std::string base_url;
    bool allow_plain_http = false;
    bool is_mirror = false;
  };

  RegistrySource(RegistryReference reference, RegistryOptions options)
      : reference_(std::move(reference)), options_(std::move(options)) {}
  absl::Status ResolveRoot();
  absl::StatusOr<HttpResponse> GetManifest(const std::string& name);
  // HttpGet, trusting what is configured for the URL's host.
  absl::StatusOr<HttpResponse> GetUrl(HttpRequest request) const;

  // Asks every endpoint, with authentication and again after what may pass. A 2xx answer.
  absl::StatusOr<HttpResponse> Get(const std::string& path, HttpRequest request);
  absl::StatusOr<HttpResponse> GetFrom(const Endpoint& endpoint, const std::string& path,
                                       const HttpRequest& request);
  absl::Status Authenticate(const Endpoint& endpoint, const std::string& challenge);
  absl::Status Pause(int attempt, const HttpResponse* response);

  const RegistryReference reference_;
  const RegistryOptions options_;
  std::vector<Endpoint> endpoints_;
  std::optional<Credentials> credentials_;
  std::optional<Descriptor> root_;
  std::string root_bytes_;
  Mutex mutex_;
  std::map<std::string, std::string> authorization_ ABSL_GUARDED_BY(mutex_);  // by base URL
};

// The parameters of a WWW-Authenticate header: scheme in lower case under "", then name and value.
std::map<std::string, std::string> ParseChallenge(std::string_view header);

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_REGISTRY_SOURCE_H_
