// The first step: the bundle's config.json, as its author wrote it.
#include "daemon/spec/transformers/transformers.h"

namespace ocid {

SpecTransformer MakeBundleTransformer() {
  return {.name = "bundle",
          .phase = SpecPhase::kBase,
          .transform = [](const SpecRequest& request, SpecEditor& editor) {
            SpecActor actor{.kind = ActorKind::kBundle,
                            .name = "bundle",
                            .version = request.bundle.spec.OciVersion(),
                            .source_file = request.bundle.source_file,
                            .source_sha256 = request.bundle.source_sha256};
            return editor.Edit(std::move(actor), [&request](SpecEdit& edit) {
              edit.spec = request.bundle.spec;
              return absl::OkStatus();
            });
          }};
}

}  // namespace ocid
