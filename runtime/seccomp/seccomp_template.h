// A seccomp profile for many containers and hosts, and what it comes to for one of each.
//
// A template is an OCI `linux.seccomp` object whose rules may say when they are meant: `includes` and
// `excludes` with `caps`, `arches` and `minKernel`. In place of `architectures` it may have `archMap`.
// This is the form in which Docker's --security-opt seccomp=FILE and Podman take profiles, so that
// theirs can be used here as they are.
//
// Templates come from an administrator's file: resolving names each mistake by its JSON pointer.
// Pure functions, thread-safe; nothing blocks.
//
// Source: moby profiles/seccomp (the format); seccomp(2).
#ifndef OCID_RUNTIME_SECCOMP_SECCOMP_TEMPLATE_H_
#define OCID_RUNTIME_SECCOMP_SECCOMP_TEMPLATE_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace ocid {

// What the conditions of a template's rules are held against.
struct SeccompTarget {
  std::vector<std::string> capabilities;  // "CAP_SYS_ADMIN", of the bounding set
  std::string architecture = {};          // as Go names it: "amd64", "arm64", "s390x", ...
  std::pair<int, int> kernel = {0, 0};    // version and patch level: {6, 1}
};

// This machine, for a process that can have `capabilities`.
SeccompTarget SeccompTargetHere(std::vector<std::string> capabilities);

// The `linux.seccomp` object for `target`: the rules whose conditions hold, without the conditions.
// INVALID_ARGUMENT names the pointer. What the rules say is not looked at: see ParseSeccompProfile.
absl::StatusOr<nlohmann::json> ResolveSeccompTemplate(const nlohmann::json& profile,
                                                      const SeccompTarget& target);

// The template that containers of images get where the administrator named no other:
// deploy/seccomp/default.json.
std::string_view DefaultSeccompTemplate();

}  // namespace ocid

#endif  // OCID_RUNTIME_SECCOMP_SECCOMP_TEMPLATE_H_
