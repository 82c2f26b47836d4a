// The evaluator and the profile parser on bytes that no compiler made.
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <nlohmann/json.hpp>

#include "runtime/oci/json_text.h"
#include "runtime/seccomp/bpf_compile.h"
#include "runtime/seccomp/bpf_evaluator.h"
#include "runtime/seccomp/seccomp_profile.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ocid::FuzzInput input(data, size);
  if (input.Below(2) == 0) {
    seccomp_data call = {};
    call.nr = input.Take<int>();
    call.args[0] = input.Take<uint64_t>();
    const std::string program(input.Rest());
    ocid::EvaluateSeccomp(program, call).IgnoreError();
    return 0;
  }
  const absl::StatusOr<nlohmann::json> text = ocid::ParseJson(input.Rest());
  if (!text.ok()) return 0;
  const absl::StatusOr<ocid::SeccompProfile> profile = ocid::ParseSeccompProfile(*text);
  if (profile.ok()) ocid::CompileSeccomp(*profile).IgnoreError();
  return 0;
}
