#include "daemon/spec/spec_pipeline.h"

#include <algorithm>
#include <utility>

namespace ocid {

SpecPipeline::SpecPipeline(std::vector<SpecTransformer> transformers, SpecEditor::Options options)
    : transformers_(std::move(transformers)), options_(std::move(options)) {
  std::stable_sort(
      transformers_.begin(), transformers_.end(),
      [](const SpecTransformer& a, const SpecTransformer& b) { return a.phase < b.phase; });
}

absl::StatusOr<SpecResult> SpecPipeline::Run(const SpecRequest& request) const {
  SpecEditor editor(SpecJournal(request.container_id, request.created), options_);
  for (const SpecTransformer& transformer : transformers_) {
    editor.EnterPhase(transformer.phase);
    absl::Status status = transformer.transform(request, editor);
    if (!status.ok()) return status;
  }
  SpecEditor::Result result = std::move(editor).Finish();
  return SpecResult{.spec = std::move(result.spec), .journal = std::move(result.journal)};
}

}  // namespace ocid
