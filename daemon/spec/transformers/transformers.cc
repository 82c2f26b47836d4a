#include "daemon/spec/transformers/transformers.h"

namespace ocid {

std::vector<SpecTransformer> DefaultTransformers(CdiRegistry* registry) {
  return {MakeBundleTransformer(),
          MakeImageConfigTransformer(),
          MakeUpgradeTransformer(),
          MakeDefaultsTransformer(),
          MakeRequestTransformer(),
          MakeCdiDevicesTransformer(registry),
          MakeFinalizeTransformer()};
}

}  // namespace ocid
