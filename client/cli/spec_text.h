// Histories of OCI specs as people and scripts read them.
//
// Functions of values: thread-compatible, nothing blocks.
#ifndef OCID_CLIENT_CLI_SPEC_TEXT_H_
#define OCID_CLIENT_CLI_SPEC_TEXT_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/spec_history.h"
#include "proto/ocid/v1/spec.pb.h"

namespace ocid::cli {

struct DiffStyle {
  bool color = false;
  bool all_steps = false;  // not only devices and plugins
};

// What each step changed, old and new values, grouped by actor. Needs SPEC_VIEW_FULL.
//
//   cdi vendor.com/gpu=0  /etc/cdi/vendor.yaml
//     + /linux/devices/0  {"path":"/dev/gpu0","type":"c"}
//     ~ /hostname  "a" -> "b"
//     ! /root/readonly  ignored: not an edit that CDI knows
absl::StatusOr<std::string> FormatSpecDiff(const v1::OciSpecHistory& history,
                                           const DiffStyle& style);

// What differs between two final specs, grouped by who wrote it.
std::string FormatFinalChanges(const v1::OciSpecHistory& from, const v1::OciSpecHistory& to,
                               const std::vector<FinalChange>& changes, bool color);
nlohmann::ordered_json FinalChangesJson(const v1::OciSpecHistory& from,
                                        const v1::OciSpecHistory& to,
                                        const std::vector<FinalChange>& changes,
                                        const nlohmann::json& patch);

// One line a value, with its writer and those before.
std::string FormatBlame(const v1::OciSpecHistory& history, const std::vector<BlameLine>& lines);
nlohmann::ordered_json BlameJson(const v1::OciSpecHistory& history,
                                 const std::vector<BlameLine>& lines);

// What `spec --format json` prints: documents as JSON, not as strings of JSON.
nlohmann::ordered_json HistoryJson(const v1::OciSpecHistory& history, v1::SpecView view);

// Whether the step is a device's or a plugin's.
bool IsLateStep(const v1::SpecStep& step);

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_SPEC_TEXT_H_
