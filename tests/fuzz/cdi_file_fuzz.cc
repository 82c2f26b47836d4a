// CDI files, YAML and JSON, and the injection of whatever they define.
#include <nlohmann/json.hpp>

#include "daemon/cdi/cdi_inject.h"
#include "daemon/cdi/cdi_spec.h"
#include "daemon/cdi/yaml_tree.h"
#include "runtime/oci/json_text.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<ocid::YamlNode> tree = ocid::ParseYaml(text);
  const absl::StatusOr<ocid::CdiSpec> spec = ocid::ParseCdiSpec(text);
  FUZZ_CHECK(tree.ok() || !spec.ok(), text);
  if (!spec.ok()) return 0;
  ocid::RequiredCdiVersion(*spec);
  const auto read_node = [](const std::string& path) -> absl::StatusOr<ocid::HostNode> {
    if (path.size() % 2 == 0) return absl::NotFoundError(path);
    return ocid::HostNode{.type = 'c', .major = 1, .minor = 3, .permissions = 0666};
  };
  nlohmann::json document = nlohmann::json::object();
  ocid::ApplyCdiEdits(spec->edits, document, read_node).IgnoreError();
  for (const ocid::CdiDevice& device : spec->devices) {
    ocid::ApplyCdiEdits(device.edits, document, read_node).IgnoreError();
    const std::string json = ocid::CdiEditsJson(device.edits);
    FUZZ_CHECK(ocid::ParseJson(json).ok(), json);
  }
  FUZZ_CHECK(ocid::ParseJson(ocid::CanonicalJson(document)).ok(), ocid::CanonicalJson(document));
  return 0;
}
