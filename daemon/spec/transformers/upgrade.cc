// Old and loosely written documents: null members are stripped, then version 0.x is brought to
// today's form. Each is a step of its own, and none for a document that needs neither.
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/spec/transformers/transformers.h"
#include "runtime/oci/oci_upgrade.h"

namespace ocid {
namespace {

absl::Status Transform(const SpecRequest& /*request*/, SpecEditor& editor) {
  absl::Status stripped =
      editor.Edit({.kind = ActorKind::kStrip, .name = "strip:nulls"}, [](SpecEdit& edit) {
        StripNulls(edit.spec);
        return absl::OkStatus();
      });
  if (!stripped.ok()) return stripped;
  SpecActor actor{.kind = ActorKind::kUpgrade,
                  .name = "upgrade:oci-version",
                  .version = editor.spec().OciVersion()};
  return editor.Edit(std::move(actor),
                     [](SpecEdit& edit) { return UpgradeSpec(edit.spec).status(); });
}

}  // namespace

SpecTransformer MakeUpgradeTransformer() {
  return {.name = "upgrade", .phase = SpecPhase::kBase, .transform = Transform};
}

}  // namespace ocid
