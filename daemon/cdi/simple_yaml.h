// A fast reader for the YAML that programs write: blocks by indentation, plain and simply quoted
// scalars, flow collections on one line, comments.
//
// Files of CDI devices come from generators and may hold thousands of devices; a full YAML parser
// takes seconds for them. This one either reads a text as the full one does, or gives up: errors, too,
// are the full parser's to report. A test compares the two.
//
// Pure function: thread-safe, nothing blocks. Source: YAML 1.2.2, chapters 6 to 8.
#ifndef OCID_DAEMON_CDI_SIMPLE_YAML_H_
#define OCID_DAEMON_CDI_SIMPLE_YAML_H_

#include <optional>
#include <string_view>

#include "daemon/cdi/yaml_tree.h"

namespace ocid {

// Nothing for a text that is beyond it, or beyond `limits`.
std::optional<YamlNode> ParseSimpleYaml(std::string_view text, const YamlLimits& limits);

}  // namespace ocid

#endif  // OCID_DAEMON_CDI_SIMPLE_YAML_H_
