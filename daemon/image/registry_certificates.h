// Certificates that are trusted for one registry beside the host's own authorities: DIR/HOST/*.crt, as in
// Docker's and Podman's certs.d. HOST has the port where the reference has one.
//
// Blocks on the disk. Errors: IMAGE_INVALID, StoreFailed. Source: containers-certs.d(5).
#ifndef OCID_DAEMON_IMAGE_REGISTRY_CERTIFICATES_H_
#define OCID_DAEMON_IMAGE_REGISTRY_CERTIFICATES_H_

#include <string>

#include "absl/status/statusor.h"

namespace ocid {

// The PEM text of all of them. Empty where there are none, or where no folder can have the host's name:
// it may come from a registry's answer.
absl::StatusOr<std::string> ReadCertificates(const std::string& directory, const std::string& host);

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_REGISTRY_CERTIFICATES_H_
