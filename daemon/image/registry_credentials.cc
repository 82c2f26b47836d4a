#include "daemon/image/registry_credentials.h"

#include <fcntl.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "daemon/image/image_errors.h"
#include "daemon/image/json_reader.h"
#include "daemon/image/store_files.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using nlohmann::json;

constexpr size_t kMaxFileBytes = size_t{1} << 20;

// "https://index.docker.io/v1/" is how docker.io is written in Docker's file.
std::string NormalizeKey(std::string key) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (key.starts_with(scheme)) key.erase(0, scheme.size());
  }
  for (const std::string_view tail : {"/v1/", "/v2/", "/v1", "/v2", "/"}) {
    if (key.ends_with(tail)) {
      key.resize(key.size() - tail.size());
      break;
    }
  }
  return key == "index.docker.io" ? "docker.io" : key;
}

}  // namespace

absl::StatusOr<std::optional<Credentials>> FindCredentials(std::string_view text,
                                                           const RegistryReference& reference) {
  absl::StatusOr<json> document = ParseJson(text, {.bytes = kMaxFileBytes});
  if (!document.ok()) return ImageInvalid("not a file of credentials: not JSON");
  JsonReader reader(*document, "credentials");
  const json* auths = reader.Object("auths");
  if (!reader.status().ok()) return reader.status();
  if (auths == nullptr) return std::nullopt;
  const std::string wanted = reference.host + "/" + reference.repository;
  size_t best = 0;
  std::string encoded;
  for (const auto& [key, value] : auths->items()) {
    const std::string prefix = NormalizeKey(key);
    if (wanted != prefix && !wanted.starts_with(prefix + "/")) continue;
    JsonReader entry(value, "auths");
    std::string auth;
    entry.Read("auth", auth);
    if (!entry.status().ok()) return entry.status();
    if (auth.empty() || prefix.size() < best) continue;
    best = prefix.size();
    encoded = auth;
  }
  if (encoded.empty()) return std::nullopt;
  std::string decoded;
  const bool is_base64 = absl::Base64Unescape(encoded, &decoded);
  const size_t colon = decoded.find(':');
  if (!is_base64 || colon == std::string::npos) {
    return ImageInvalid("credentials for " + reference.host + ": auth is not USER:PASSWORD in base64");
  }
  return Credentials{decoded.substr(0, colon), decoded.substr(colon + 1)};
}

absl::StatusOr<std::optional<Credentials>> ReadCredentials(const std::vector<std::string>& files,
                                                           const RegistryReference& reference) {
  for (const std::string& path : files) {
    const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file.valid()) {
      if (errno == ENOENT || errno == ENOTDIR) continue;
      return StoreFailed("open " + path, errno);
    }
    absl::StatusOr<std::string> text = ReadAll(file, kMaxFileBytes, path);
    if (!text.ok()) return text.status();
    absl::StatusOr<std::optional<Credentials>> found = FindCredentials(*text, reference);
    if (!found.ok() || found->has_value()) return found;
  }
  return std::nullopt;
}

}  // namespace ocid
