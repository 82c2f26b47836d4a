// A strict, bounded reader of YAML and JSON text into a plain tree.
//
// CDI files are YAML or JSON, and by the reference's rules YAML even where the name says .json. The
// tree keeps scalars as text, because what `0666` or `0` means depends on the field that it is for,
// and keeps lines, because an error without one is of no use in a file of 3,000.
//
// Refused: duplicate keys, keys that are no scalars, aliases that grow the document beyond its
// limits ("billion laughs"), tags other than those of the core schema, invalid UTF-8.
//
// Pure functions: thread-safe, nothing blocks. Source: YAML 1.2.2; only the first document is read.
#ifndef OCID_DAEMON_CDI_YAML_TREE_H_
#define OCID_DAEMON_CDI_YAML_TREE_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace ocid {

struct YamlMember;

struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMap };
  Kind kind = Kind::kNull;
  int line = 0;         // from 1; 0: not known
  bool quoted = false;  // of a scalar: a string whatever it looks like
  std::string text;     // of a scalar
  std::vector<YamlNode> elements;
  std::vector<YamlMember> members;  // in the order of the text
};

struct YamlMember {
  std::string key;
  YamlNode value;
};

struct YamlLimits {
  size_t bytes = size_t{4} << 20;
  size_t nodes = 200'000;                // after aliases are put in
  size_t text_bytes = size_t{16} << 20;  // of all scalars, after aliases are put in
  size_t depth = 32;
};

// INVALID_ARGUMENT, with "line N: " where the line is known.
absl::StatusOr<YamlNode> ParseYaml(std::string_view text, const YamlLimits& limits = {});

// The same for UTF-8 within `limits.bytes` without the short cuts for JSON and for the YAML that
// programs write (simple_yaml.h).
absl::StatusOr<YamlNode> ParseAnyYaml(std::string_view text, const YamlLimits& limits = {});

}  // namespace ocid

#endif  // OCID_DAEMON_CDI_YAML_TREE_H_
