// SpecPipeline: makes the OCI spec of one generation of a container from a request, with a journal.
//
//   kBase bundle -> kDefaults defaults -> kRequest request -> kDevices cdi_devices
//     -> kPlugins -> kFinal finalize (normalise, validate)
//
// Immutable after construction, and safe to use from several threads if its transformers are. Run
// blocks as long as they do: CDI stats host device nodes, everything else is pure computation.
//
//   SpecPipeline pipeline(DefaultTransformers(&cdi_registry), {});
//   absl::StatusOr<SpecResult> result = pipeline.Run(request);
#ifndef OCID_DAEMON_SPEC_SPEC_PIPELINE_H_
#define OCID_DAEMON_SPEC_SPEC_PIPELINE_H_

#include <vector>

#include "absl/status/statusor.h"
#include "daemon/spec/spec_editor.h"
#include "daemon/spec/spec_journal.h"
#include "daemon/spec/spec_request.h"
#include "daemon/spec/spec_transformer.h"
#include "runtime/oci/oci_spec.h"

namespace ocid {

struct SpecResult {
  OciSpec spec;  // what the executor is to run; spec.Canonical() has the journal's final digest
  SpecJournal journal;
};

class SpecPipeline {
 public:
  // Transformers are put in the order of their phases; those of one phase keep theirs.
  explicit SpecPipeline(std::vector<SpecTransformer> transformers,
                        SpecEditor::Options options = {});

  // The first error of a transformer, or INVALID_ARGUMENT with reason SPEC_INVALID and one field
  // violation for each thing that is wrong with the result. Nothing outside changes in any case.
  absl::StatusOr<SpecResult> Run(const SpecRequest& request) const;

  const std::vector<SpecTransformer>& transformers() const { return transformers_; }

 private:
  std::vector<SpecTransformer> transformers_;
  SpecEditor::Options options_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_SPEC_SPEC_PIPELINE_H_
