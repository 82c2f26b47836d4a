// OCI specs of older versions brought to today's form.
//
// Documents of version 1.x are understood as they are. Those of 0.x are rewritten: members that
// were renamed or moved on the way to 1.0 get their new names and places, and the version becomes
// kOciVersion. What was said stays; nothing is invented.
//
// Thread-compatible; nothing blocks.
// Source: ChangeLog of opencontainers/runtime-spec, 0.1.0 to 1.0.0.
#ifndef OCID_RUNTIME_OCI_OCI_UPGRADE_H_
#define OCID_RUNTIME_OCI_OCI_UPGRADE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/oci/oci_spec.h"

namespace ocid {

// Upgrades in place; says what it changed, one line each, empty if nothing. FAILED_PRECONDITION,
// reason SPEC_UNSUPPORTED, for a major version above 1; INVALID_ARGUMENT, reason SPEC_INVALID, for
// a version that is none. The document is unchanged after an error.
absl::StatusOr<std::vector<std::string>> UpgradeSpec(OciSpec& spec);

// Removes the members whose value is null: programs in Go write them for empty lists, and they mean
// that nothing was said. Returns the pointers of what it removed.
std::vector<std::string> StripNulls(OciSpec& spec);

}  // namespace ocid

#endif  // OCID_RUNTIME_OCI_OCI_UPGRADE_H_
