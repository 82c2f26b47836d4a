#include "daemon/nri/known_container.h"

#include "daemon/nri/nri_container.h"
#include "runtime/oci/oci_spec.h"

namespace ocid {

const EncodedContainer& KnownContainer::Describe() const {
  std::call_once(once_, [this] {
    const absl::StatusOr<OciSpec> parsed = OciSpec::Parse(*spec_text_);
    const OciSpec spec = parsed.ok() ? *parsed : OciSpec();
    described_.pod = DescribePod(spec, subject_).SerializeAsString();
    const nri::Container container = DescribeContainer(spec, subject_);
    described_.container = container.SerializeAsString();
    for (const nri::LinuxNamespace& entry : container.linux().namespaces()) {
      if (entry.type() == "network") described_.unnamed_network = entry.path().empty();
    }
  });
  return described_;
}

}  // namespace ocid
