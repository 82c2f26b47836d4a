// User names and passwords of registries, from the files that docker login and podman login write.
//
//   {"auths": {"registry.example": {"auth": "<base64 of USER:PASSWORD>"}}}
//
// A key may go on with a part of the repository's name: the longest one that fits counts. Credential
// helpers are programs, and are not run.
//
// Reading blocks. Source: containers-auth.json(5).
#ifndef OCID_DAEMON_IMAGE_REGISTRY_CREDENTIALS_H_
#define OCID_DAEMON_IMAGE_REGISTRY_CREDENTIALS_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/image/registry_reference.h"

namespace ocid {

struct Credentials {
  std::string user;
  std::string password;
};

// From the text of one file. Nothing where it has none for this registry.
absl::StatusOr<std::optional<Credentials>> FindCredentials(std::string_view text,
                                                           const RegistryReference& reference);

// From the first of the files that has some. A file that does not exist is no error.
absl::StatusOr<std::optional<Credentials>> ReadCredentials(const std::vector<std::string>& files,
                                                           const RegistryReference& reference);

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_REGISTRY_CREDENTIALS_H_
