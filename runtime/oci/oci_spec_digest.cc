// OciSpec::Digest; apart from the rest as sha256_digest.cc is.
#include "runtime/oci/json_text.h"
#include "runtime/oci/oci_spec.h"

namespace ocid {

std::string OciSpec::Digest() const { return Sha256Digest(Canonical()); }

}  // namespace ocid
