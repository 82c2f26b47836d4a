// The command line of one command: flags in the manner of runc (urfave/cli), then positionals.
//
// `--flag value`, `--flag=value`, `-flag value` and `-f value` are one; a switch takes a value only
// after '=' ("--rootless=false"). Parsing stops at the first word that is no flag, or after "--":
// what follows belongs to a program in the container.
//
// A value; thread-compatible. Nothing blocks.
//
//   Flags flags({{"bundle", "b", FlagKind::kValue, "path of the bundle"}, ...});
//   absl::Status parsed = flags.Parse(arguments);
//   flags.Value("bundle", ".");
#ifndef OCID_RUNTIME_CLI_FLAGS_H_
#define OCID_RUNTIME_CLI_FLAGS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ocid {

enum class FlagKind {
  kSwitch,
  kValue,
  kIgnoredSwitch,  // accepted for other runtimes' callers, without effect
  kIgnoredValue,
};

struct FlagSpec {
  std::string_view name;
  std::string_view short_name;  // may be empty
  FlagKind kind = FlagKind::kValue;
  std::string_view help = {};
};

class Flags {
 public:
  explicit Flags(std::vector<FlagSpec> known) : known_(std::move(known)) {}

  // INVALID_ARGUMENT for an unknown flag, a missing value, or a switch's value that is no boolean.
  absl::Status Parse(const std::vector<std::string>& arguments);

  bool Has(std::string_view name) const { return values_.contains(std::string(name)); }
  bool Switch(std::string_view name) const { return Value(name) == "true"; }
  std::string Value(std::string_view name, std::string_view fallback = {}) const;
  // Of a flag that may be given several times, in order.
  std::vector<std::string> Values(std::string_view name) const;
  // Nothing if the flag was not given; INVALID_ARGUMENT if its value is no number.
  absl::StatusOr<std::optional<int64_t>> Number(std::string_view name) const;

  const std::vector<std::string>& positionals() const { return positionals_; }
  const std::vector<FlagSpec>& known() const { return known_; }

 private:
  const FlagSpec* Find(std::string_view name) const;

  std::vector<FlagSpec> known_;
  std::map<std::string, std::vector<std::string>> values_;
  std::vector<std::string> positionals_;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_CLI_FLAGS_H_
