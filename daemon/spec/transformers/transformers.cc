#include "daemon/spec/transformers/transformers.h"

#include <utility>

namespace ocid {

std::vector<SpecTransformer> DefaultTransformers(CdiRegistry* registry, NriPluginsOptions plugins) {
  return {MakeBundleTransformer(),
          MakeImageConfigTransformer(),
          MakeUpgradeTransformer(),
          MakeDefaultsTransformer(),
          MakeRequestTransformer(),
          MakeCdiDevicesTransformer(registry),
          MakeNriPluginsTransformer(registry, std::move(plugins)),
          MakeFinalizeTransformer()};
}

}  // namespace ocid
