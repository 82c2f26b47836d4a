// RegistryReference: "registry.example:5000/team/web:1.2@sha256:..." in its parts.
//
// The registry must be named: what "web" means depends on who is asked, and whoever answers first runs
// code here. docker.io is known by its short form: "docker.io/busybox" is
// "registry-1.docker.io/library/busybox".
//
// Pure. Errors: IMAGE_INVALID. Source: distribution reference grammar; distribution-spec.
#ifndef OCID_DAEMON_IMAGE_REGISTRY_REFERENCE_H_
#define OCID_DAEMON_IMAGE_REGISTRY_REFERENCE_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "daemon/image/digest.h"

namespace ocid {

struct RegistryReference {
  std::string host;        // with the port where there is one; as it was written
  std::string repository;  // "library/busybox"
  std::string tag;         // empty where there is a digest alone
  std::optional<Digest> digest;

  static absl::StatusOr<RegistryReference> Parse(std::string_view text);

  // The image's name in the store: "docker.io/library/busybox:latest".
  std::string ToString() const;
  // What to ask the registry for: the digest where there is one.
  std::string ManifestName() const { return digest.has_value() ? digest->ToString() : tag; }
};

// Whether a host, with or without a port, is this machine: localhost, 127.0.0.0/8, [::1].
bool IsLoopbackHost(std::string_view host);

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_REGISTRY_REFERENCE_H_
