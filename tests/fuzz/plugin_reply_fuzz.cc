// What two NRI plugins answer to a create, from their bytes to the spec.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/nri/adjustment_apply.h"
#include "daemon/nri/adjustment_claims.h"
#include "daemon/nri/adjustment_policy.h"
#include "daemon/nri/default_validator.h"
#include "daemon/nri/nri_container.h"
#include "runtime/base/error_details.h"
#include "runtime/oci/json_text.h"
#include "runtime/oci/oci_spec.h"
#include "tests/fuzz/fuzz_input.h"

namespace ocid {
namespace {

nlohmann::json Spec() {
  return nlohmann::json::parse(R"({"ociVersion":"1.2.0","annotations":{"a":"1"},
    "process":{"args":["sh"],"env":["A=1","B"],"cwd":"/"},"mounts":[{"destination":"/a/b"},
    {"destination":"/c","source":"s"}],"linux":{"namespaces":[{"type":"pid"}],
    "devices":[{"path":"/dev/a","type":"c","major":1,"minor":1}],"sysctl":{"net.a":"1"},
    "resources":{"memory":{"limit":5},"hugepageLimits":[{"pageSize":"2MB","limit":1}]}}})");
}

// Of every limit half is not for this host.
absl::Status CheckResources(const nlohmann::json& resources) {
  absl::Status status = absl::FailedPreconditionError("limits");
  for (const auto& [group, limits] : resources.items()) {
    if (!limits.is_object()) continue;
    for (const auto& [name, value] : limits.items()) {
      if (name.size() % 2 == 0) continue;
      AddFieldViolation(status, "/linux/resources/" + group + "/" + name, "odd");
    }
  }
  return status;
}

void Check(const std::vector<std::string>& replies, const PluginPolicy& policy) {
  const AdjustmentHost host{.check_resources = CheckResources, .no_intel_rdt = "none"};
  nlohmann::json document = Spec();
  AdjustmentClaims claims("c1");
  PluginSubject subject;
  subject.container_id = "c1";
  for (size_t i = 0; i < replies.size(); ++i) {
    nri::CreateContainerResponse reply;
    if (!reply.ParseFromString(replies[i])) return;
    FUZZ_CHECK(ParseJson(NriJson(reply)).ok(), NriJson(reply));
    const std::string plugin = i == 0 ? "10-a" : "20-b";
    nri::ContainerAdjustment adjustment = reply.adjust();
    std::vector<NriIgnoredEdit> ignored = RestrictAdjustment(policy, &adjustment);
    if (!claims.ClaimAdjustment(plugin, adjustment).ok()) return;
    if (!claims.ClaimUpdates(plugin, reply.update()).ok()) return;
    if (!ApplyAdjustment(adjustment, host, document, ignored).ok()) return;
    for (const NriIgnoredEdit& edit : ignored) FUZZ_CHECK(!edit.reason.empty(), edit.pointer);
    const std::string text = CanonicalJson(document);
    FUZZ_CHECK(ParseJson(text).ok(), text);
    DescribeContainer(OciSpec(document), subject);
  }
  DefaultValidatorOptions options;
  options.enable = options.reject_sysctl_adjustment = options.reject_namespace_adjustment = true;
  nri::ValidateContainerAdjustmentRequest request;
  *request.mutable_adjust() = claims.combined();
  *request.mutable_owners() = claims.owners();
  request.mutable_container()->set_id("c1");
  *request.mutable_pod()->mutable_annotations() = claims.combined().annotations();
  ValidateByDefault(options, request).IgnoreError();
}

}  // namespace
}  // namespace ocid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ocid::FuzzInput input(data, size);
  ocid::PluginPolicy policy;
  if (input.Below(2) == 1) policy.fields.emplace({ocid::nri::Env, ocid::nri::MemLimit});
  const size_t first = input.Take<uint16_t>();
  std::vector<std::string> replies = {std::string(input.Bytes(first))};
  replies.emplace_back(input.Rest());
  ocid::Check(replies, policy);
  return 0;
}
