// SeccompDefault: the seccomp profile that containers of images get. (A bundle that names none may
// mean it, and gets none.)
//
// A value, read once when the daemon starts. LoadSeccompDefault blocks on the file; thread-safe.
#ifndef OCID_DAEMON_SPEC_SECCOMP_DEFAULT_H_
#define OCID_DAEMON_SPEC_SECCOMP_DEFAULT_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"

namespace ocid {

struct SeccompDefault {
  nlohmann::json profile;     // a template: runtime/seccomp/seccomp_template.h
  std::string source_file;    // empty: built in
  std::string source_sha256;  // "sha256:<hex>"
};

// `name` is "default" for the profile that is built in, "unconfined" for none (null), or the absolute
// path of a profile in the same form as Docker's and Podman's, of at most 1 MiB. A profile that
// could not be loaded into a container on this machine is INVALID_ARGUMENT here already.
absl::StatusOr<std::shared_ptr<const SeccompDefault>> LoadSeccompDefault(const std::string& name);

}  // namespace ocid

#endif  // OCID_DAEMON_SPEC_SECCOMP_DEFAULT_H_
