// JSON patches (RFC 6902): applying them in place.
//
// A patch is an array of operations: add, remove, replace, move, copy, test. nlohmann's own patch()
// copies the document for each application; here documents are large, patches small and many.
//
// Pure functions on values: thread-compatible, nothing blocks.
#ifndef OCID_RUNTIME_OCI_JSON_PATCH_H_
#define OCID_RUNTIME_OCI_JSON_PATCH_H_

#include <nlohmann/json_fwd.hpp>

#include "absl/status/status.h"

namespace ocid {

// Applies one operation. INVALID_ARGUMENT for a malformed operation, FAILED_PRECONDITION for one
// that does not fit the document (no such target, failed test); the document is then unchanged.
absl::Status ApplyPatchOperation(const nlohmann::json& operation, nlohmann::json& document);

// The same, but takes the value out of the operation instead of copying it.
absl::Status ApplyPatchOperation(nlohmann::json&& operation, nlohmann::json& document);

// Applies all operations in order. After an error the document holds the effect of the operations
// before the one that failed: a caller who needs all or nothing applies to a copy.
absl::Status ApplyPatch(const nlohmann::json& patch, nlohmann::json& document);

}  // namespace ocid

#endif  // OCID_RUNTIME_OCI_JSON_PATCH_H_
