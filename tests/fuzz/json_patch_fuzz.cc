// Apply(Diff(a, b), a) == b, for two documents given as text or made by RandomSpec; and patches
// from outside change a document or fail.
#include <nlohmann/json.hpp>

#include "runtime/oci/json_identity.h"
#include "runtime/oci/json_patch.h"
#include "runtime/oci/json_text.h"
#include "runtime/oci/random_spec.h"
#include "tests/fuzz/fuzz_input.h"

namespace ocid {
namespace {

using nlohmann::json;

void CheckDiff(json before, json after) {
  NormalizeNumbers(before);
  NormalizeNumbers(after);
  const json patch = Diff(before, after);
  json patched = before;
  const absl::Status applied = ApplyPatch(patch, patched);
  const std::string explanation = CanonicalJson(before) + "\n" + CanonicalJson(after) + "\n" +
                                  CanonicalJson(patch) + "\n" + applied.ToString();
  FUZZ_CHECK(applied.ok(), explanation);
  FUZZ_CHECK(CanonicalJson(patched) == CanonicalJson(after),
             explanation + "\n" + CanonicalJson(patched));
  FUZZ_CHECK(patch.empty() == (CanonicalJson(before) == CanonicalJson(after)), explanation);
}

// One line each: documents a and b; or a document and a patch.
void CheckTexts(std::string_view text, bool is_patch) {
  const size_t newline = text.find('\n');
  if (newline == std::string_view::npos) return;
  const absl::StatusOr<json> first = ParseJson(text.substr(0, newline));
  const absl::StatusOr<json> second = ParseJson(text.substr(newline + 1));
  if (!first.ok() || !second.ok()) return;
  if (!is_patch) return CheckDiff(*first, *second);
  json document = *first;
  const absl::Status applied = ApplyPatch(*second, document);
  if (!applied.ok()) return;
  CheckDiff(*first, document);
}

}  // namespace
}  // namespace ocid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ocid::FuzzInput input(data, size);
  switch (input.Below(3)) {
    case 0:
      ocid::CheckDiff(ocid::RandomSpec(input.Take<uint32_t>()).Make(),
                      ocid::RandomSpec(input.Take<uint32_t>()).Make());
      break;
    case 1:
      ocid::CheckTexts(input.Rest(), /*is_patch=*/false);
      break;
    default:
      ocid::CheckTexts(input.Rest(), /*is_patch=*/true);
      break;
  }
  return 0;
}
