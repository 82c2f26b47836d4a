// What a registry may say: manifests, configurations, references, challenges; and the credentials
// file beside them. What is taken must survive being written and read again.
#include <nlohmann/json.hpp>

#include "daemon/image/image_config.h"
#include "daemon/image/manifest.h"
#include "daemon/image/registry_credentials.h"
#include "daemon/image/registry_reference.h"
#include "daemon/image/registry_source.h"
#include "runtime/oci/json_text.h"
#include "tests/fuzz/fuzz_input.h"

namespace ocid {
namespace {

constexpr std::string_view kTypes[] = {"",
                                       kOciIndexType,
                                       kOciManifestType,
                                       kDockerListType,
                                       kDockerSchema2Type,
                                       kDockerSchema1Type,
                                       kDockerSchema1SignedType};
constexpr std::string_view kConfigTypes[] = {"", kOciConfigType, kDockerConfigType};

void CheckForms(const ImageForms& forms) {
  FUZZ_CHECK(ParseJson(forms.oci_json).ok(), forms.oci_json);
  FUZZ_CHECK(ParseJson(forms.docker_json).ok(), forms.docker_json);
  const absl::StatusOr<ImageForms> oci = ReadConfig(forms.oci_json, kOciConfigType);
  FUZZ_CHECK(oci.ok(), forms.oci_json + "\n" + oci.status().ToString());
  FUZZ_CHECK(oci->config.diff_ids == forms.config.diff_ids, forms.oci_json);
  FUZZ_CHECK(oci->config.user == forms.config.user, forms.oci_json);
  ChainIds(forms.config.diff_ids);
}

void ReadManifest(std::string_view bytes, std::string_view type) {
  const absl::StatusOr<Manifest> manifest = ParseManifest(bytes, type);
  if (!manifest.ok()) return;
  if (const auto* index = std::get_if<ImageIndex>(&*manifest)) {
    SelectPlatform(*index, Platform::Host()).IgnoreError();
  } else if (const auto* image = std::get_if<ImageManifest>(&*manifest)) {
    for (const Descriptor& layer : image->layers) LayerCompression(layer.media_type).IgnoreError();
    const std::string again = MakeSchema2Manifest(image->config, image->layers);
    FUZZ_CHECK(ParseJson(again).ok(), again);
  } else {
    const auto& old = std::get<Schema1Manifest>(*manifest);
    Schema1Payload(bytes).IgnoreError();
    const absl::StatusOr<Schema1Image> read = ReadSchema1(old);
    if (!read.ok()) return;
    const absl::StatusOr<std::string> config = MakeSchema1Config(*read, read->blobs);
    if (!config.ok()) return;
    const absl::StatusOr<ImageForms> forms = ReadConfig(*config, kDockerConfigType);
    if (forms.ok()) CheckForms(*forms);
  }
}

}  // namespace
}  // namespace ocid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ocid::FuzzInput input(data, size);
  // Letters, so that seeds can be written by hand.
  const char kind = input.Take<char>();
  const uint32_t variant = input.Below(10 + '0') - '0';
  const std::string text(input.Rest());
  switch (kind) {
    case 'm':
      ocid::ReadManifest(text, ocid::kTypes[variant % std::size(ocid::kTypes)]);
      break;
    case 'c': {
      const auto forms = ocid::ReadConfig(text, ocid::kConfigTypes[variant % 3]);
      if (forms.ok()) ocid::CheckForms(*forms);
      break;
    }
    case 'r': {
      const auto reference = ocid::RegistryReference::Parse(text);
      if (!reference.ok()) break;
      const std::string name = reference->ToString();
      const auto again = ocid::RegistryReference::Parse(name);
      FUZZ_CHECK(again.ok(), name);
      FUZZ_CHECK(again->ToString() == name, name + "\n" + again->ToString());
      ocid::IsLoopbackHost(reference->host);
      break;
    }
    case 'w':
      ocid::ParseChallenge(text);
      break;
    case 'p':
      ocid::Platform::Parse(text).IgnoreError();
      break;
    default:
      ocid::FindCredentials(text, *ocid::RegistryReference::Parse("registry.example/team/web:1"))
          .IgnoreError();
      break;
  }
  return 0;
}
