// What a patch did to a spec, in words for a person: "mount /data added (bind from /srv, ro)".
//
// Pure functions: thread-compatible, nothing blocks. The words are prose: programs read the patch.
#ifndef OCID_DAEMON_SPEC_SPEC_CHANGES_H_
#define OCID_DAEMON_SPEC_SPEC_CHANGES_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>


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

// The pointer of the mount, device, hook or other element of a list that `pointer` leads into; empty
// where it leads into none, or is one itself.
std::string ThingAround(std::string_view pointer);

// Appends what `operation`, one of an RFC 6902 patch that fits `before`, does: one change, or where it
// adds or replaces much at once, one for each thing that is in it. Nothing for what does not fit.
void AppendChanges(const nlohmann::json& operation, const nlohmann::json& before,
                   std::vector<SpecChange>& changes);

}  // namespace ocid

#endif  // OCID_DAEMON_SPEC_SPEC_CHANGES_H_
