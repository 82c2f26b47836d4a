// OciSpec::Parse: hostile text gives a document or an error, and a document's canonical text means
// the same document.
#include "runtime/oci/json_text.h"
#include "runtime/oci/oci_spec.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<ocid::OciSpec> spec = ocid::OciSpec::Parse(text);
  if (!spec.ok()) return 0;
  const std::string canonical = spec->Canonical();
  const absl::StatusOr<ocid::OciSpec> again = ocid::OciSpec::Parse(canonical);
  FUZZ_CHECK(again.ok(), canonical + "\n" + again.status().ToString());
  FUZZ_CHECK(again->Canonical() == canonical, canonical + "\n" + again->Canonical());
  FUZZ_CHECK(again->Digest() == spec->Digest(), canonical);
  FUZZ_CHECK(*again == *spec, canonical);
  // The views take whatever type their member has.
  spec->OciVersion();
  spec->RootPath();
  spec->Hostname();
  spec->CgroupsPath();
  spec->Cwd();
  spec->User();
  spec->Args();
  spec->Env();
  spec->Annotations();
  spec->HasNamespace("pid");
  spec->EnvValue("PATH");
  return 0;
}
