// The version number of an OCI spec: semantic versioning 2.0.0.
//
// Pure functions: thread-safe, nothing blocks.
#ifndef OCID_RUNTIME_OCI_OCI_VERSION_H_
#define OCID_RUNTIME_OCI_OCI_VERSION_H_

#include <compare>
#include <optional>
#include <string_view>

namespace ocid {

struct SemanticVersion {
  int major = 0;
  int minor = 0;
  int patch = 0;

  friend auto operator<=>(const SemanticVersion&, const SemanticVersion&) = default;
};

// "1.0.2-dev" is 1.0.2: what follows "-" or "+" is checked for its characters and left out.
std::optional<SemanticVersion> ParseSemanticVersion(std::string_view text);

}  // namespace ocid

#endif  // OCID_RUNTIME_OCI_OCI_VERSION_H_
