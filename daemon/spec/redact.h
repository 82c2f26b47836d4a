// Hides environment values in specs and journals, for views that others may see.
//
// Names stay and values become "<redacted>": of the process and of hooks. Digests stay as they are:
// they are those of the documents with the values, so a redacted view can still be told to belong
// to a spec, but its replay does not have the digests of its steps. Patches still apply.
//
// Pure functions: thread-compatible, nothing blocks.
#ifndef OCID_DAEMON_SPEC_REDACT_H_
#define OCID_DAEMON_SPEC_REDACT_H_

#include "absl/status/statusor.h"
#include "daemon/spec/spec_journal.h"
#include "runtime/oci/oci_spec.h"

namespace ocid {

inline constexpr std::string_view kRedactedValue = "<redacted>";

OciSpec RedactSpec(const OciSpec& spec);

// DATA_LOSS if a patch of the journal cannot be read.
absl::StatusOr<SpecJournal> RedactJournal(const SpecJournal& journal);

}  // namespace ocid

#endif  // OCID_DAEMON_SPEC_REDACT_H_
