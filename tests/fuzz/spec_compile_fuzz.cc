// The way of a spec from outside to a launch plan: strip, upgrade, validate, compile. What is valid
// compiles to a plan that the executor takes, or to an error.
#include <nlohmann/json.hpp>

#include "runtime/oci/json_text.h"
#include "runtime/oci/oci_spec.h"
#include "runtime/oci/oci_upgrade.h"
#include "runtime/oci/oci_validate.h"
#include "runtime/plan/plan_compile.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  absl::StatusOr<ocid::OciSpec> spec = ocid::OciSpec::Parse(text);
  if (!spec.ok()) return 0;
  ocid::StripNulls(*spec);
  const ocid::OciSpec before = *spec;
  const absl::StatusOr<std::vector<std::string>> changes = ocid::UpgradeSpec(*spec);
  if (!changes.ok()) {
    FUZZ_CHECK(*spec == before, spec->Canonical());
    return 0;
  }
  const ocid::OciSpec upgraded = *spec;
  FUZZ_CHECK(ocid::UpgradeSpec(*spec).ok(), upgraded.Canonical());
  FUZZ_CHECK(*spec == upgraded, upgraded.Canonical() + "\n" + spec->Canonical());

  const bool valid = ocid::Validate(*spec).empty();
  FUZZ_CHECK(!valid || ocid::ValidateMeaning(*spec).empty(), spec->Canonical());
  // ocirun compiles after the second pass alone: the compiler must stand any types.
  const ocid::CreatePlanRequest request{.spec = spec->json(), .id = "fuzz", .bundle = "/bundle"};
  const absl::StatusOr<ocid::LaunchPlan> plan = ocid::CompileCreate(request);
  if (plan.ok()) {
    plan->Text();
  } else {
    FUZZ_CHECK(plan.status().code() != absl::StatusCode::kDataLoss, plan.status().ToString());
  }
  if (spec->HasProcess()) {
    const ocid::ExecPlanRequest exec{.spec = spec->json(),
                                     .process = spec->json()["process"],
                                     .id = "fuzz",
                                     .bundle = "/bundle"};
    const absl::StatusOr<ocid::LaunchPlan> exec_plan = ocid::CompileExec(exec);
    FUZZ_CHECK(exec_plan.ok() || exec_plan.status().code() != absl::StatusCode::kDataLoss,
               exec_plan.status().ToString());
  }
  return 0;
}
