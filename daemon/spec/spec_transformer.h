// SpecTransformer: one intention about the spec, as a value.
//
// A transformer belongs to a phase; within one phase transformers run in the order in which they
// were given to the pipeline. Its function reads the request and changes the spec through the
// editor, one Edit for each actor it speaks for. What it needs besides (a CDI registry, a plugin
// host) it captures. It must be safe to call from several threads at once.
//
// Adding one: a file in transformers/ with a Make function, and its name in the list that the
// daemon gives to SpecPipeline.
#ifndef OCID_DAEMON_SPEC_SPEC_TRANSFORMER_H_
#define OCID_DAEMON_SPEC_SPEC_TRANSFORMER_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "daemon/spec/spec_editor.h"
#include "daemon/spec/spec_journal.h"
#include "daemon/spec/spec_request.h"

namespace ocid {

struct SpecTransformer {
  std::string name;
  SpecPhase phase = SpecPhase::kBase;
  std::function<absl::Status(const SpecRequest&, SpecEditor&)> transform;
};

}  // namespace ocid

#endif  // OCID_DAEMON_SPEC_SPEC_TRANSFORMER_H_
