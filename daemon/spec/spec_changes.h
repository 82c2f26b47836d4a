// What a patch did to a spec, in words for a person: "mount /data added (bind from /srv, ro)".
//
// Pure functions: thread-compatible, nothing blocks. The words are prose: programs read the patch.
#ifndef OCID_DAEMON_SPEC_SPEC_CHANGES_H_
#define OCID_DAEMON_SPEC_SPEC_CHANGES_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/spec/spec_journal.h"
#include "runtime/oci/oci_spec.h"

namespace ocid {

enum class SpecChangeKind { kAdded, kRemoved, kChanged, kMoved };

struct SpecChange {
  SpecChangeKind kind = SpecChangeKind::kAdded;
  std::string pointer;  // in the document when the operation applies
  std::string text;

  friend bool operator==(const SpecChange&, const SpecChange&) = default;
};

// What stands at `pointer`, by name: "environment variable PATH", "mount /proc: options", or the
// pointer itself where nothing better is known.
std::string DescribeValue(const nlohmann::json& document, std::string_view pointer);

// One change for each operation of `patch`, an RFC 6902 patch of `before`; where an operation adds
// or replaces much at once, one for each thing that is in it. INVALID_ARGUMENT or
// FAILED_PRECONDITION if the patch does not apply.
absl::StatusOr<std::vector<SpecChange>> DescribeChanges(const OciSpec& before,
                                                        std::string_view patch);

}  // namespace ocid

#endif  // OCID_DAEMON_SPEC_SPEC_CHANGES_H_
