// SchemaViolations: the first pass of Validate. Apart from it because the headers of valijson take
// longer to compile than everything else here together.
#ifndef OCID_RUNTIME_OCI_SCHEMA_CHECK_H_
#define OCID_RUNTIME_OCI_SCHEMA_CHECK_H_

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "runtime/oci/oci_validate.h"

namespace ocid {

// What of schema/config.json the document violates. Thread-safe.
std::vector<Violation> SchemaViolations(const nlohmann::json& document);

}  // namespace ocid

#endif  // OCID_RUNTIME_OCI_SCHEMA_CHECK_H_
