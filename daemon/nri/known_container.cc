#include "daemon/nri/known_container.h"

#include <algorithm>

#include "daemon/nri/nri_container.h"
#include "runtime/oci/oci_spec.h"

namespace ocid {
namespace {

bool HasNetwork(const google::protobuf::RepeatedPtrField<nri::LinuxNamespace>& namespaces) {
  return std::any_of(namespaces.begin(), namespaces.end(), [](const nri::LinuxNamespace& entry) {
    return entry.type() == "network";
  });
}

}  // namespace

const EncodedContainer& KnownContainer::Describe() const {
  std::call_once(once_, [this] {
    const absl::StatusOr<OciSpec> parsed = OciSpec::Parse(*spec_text_);
    const OciSpec spec = parsed.ok() ? *parsed : OciSpec();
    const nri::PodSandbox pod = DescribePod(spec, subject_);
    const nri::Container container = DescribeContainer(spec, subject_);
    described_.pod = pod.SerializeAsString();
    described_.container = container.SerializeAsString();
    described_.unnamed_network = HasNetwork(container.linux().namespaces()) &&
                                 !HasNetwork(pod.linux().namespaces());
  });
  return described_;
}

}  // namespace ocid
