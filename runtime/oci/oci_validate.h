// Validate: everything that is wrong with an OCI spec, at once.
//
// Two passes: the JSON schema in schema/config.json (types, ranges, names; written from the
// specification and embedded into the program), then what a schema cannot say (absolute paths,
// duplicates, what needs which namespace). Members that neither knows are ignored, as the
// specification asks. Nothing here looks at the host: a valid spec can still name a file that is
// not there.
//
// Thread-safe; nothing blocks. The schema is parsed once per process, at the first call.
// Source: opencontainers/runtime-spec config.md and config-linux.md, v1.3.
#ifndef OCID_RUNTIME_OCI_OCI_VALIDATE_H_
#define OCID_RUNTIME_OCI_OCI_VALIDATE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "runtime/oci/oci_spec.h"

namespace ocid {

struct Violation {
  std::string pointer;  // JSON pointer into the spec
  std::string message;

  friend bool operator==(const Violation&, const Violation&) = default;
};

// In the order of the document; at most kMostViolations. Empty: the spec is valid.
inline constexpr size_t kMostViolations = 100;
std::vector<Violation> Validate(const OciSpec& spec);

// The second pass alone, some milliseconds less: for a program that runs once, and whose compiler
// checks the types of what it reads.
std::vector<Violation> ValidateMeaning(const OciSpec& spec);

// INVALID_ARGUMENT with reason SPEC_INVALID and one field violation each; OK for none.
absl::Status ViolationsToStatus(const std::vector<Violation>& violations);

}  // namespace ocid

#endif  // OCID_RUNTIME_OCI_OCI_VALIDATE_H_
