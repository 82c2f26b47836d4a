// Filter: the terms by which lists and watches of the API choose.
//
//   state=running label.tier=front AND id!=web-*
//
// Terms are separated by spaces or "AND", and all must hold. A term is KEY, which holds where the
// value is there and not empty, or KEY=VALUE or KEY!=VALUE; a '*' at the end of VALUE matches any
// rest. VALUE may stand in double quotes, inside which \" and \\ stand for the character: it is then
// taken as it is, '*' included. KEY is one of the names that the list has, or `label.` and a label's
// name where it has labels. Values are compared byte for byte, but those of the keys in
// `ignore_case`, which are names of enumerations.
//
// A value; thread-compatible; nothing blocks. Errors: INVALID_ARGUMENT, INVALID_FILTER.
#ifndef OCID_DAEMON_BASE_FILTER_H_
#define OCID_DAEMON_BASE_FILTER_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace ocid {

struct FilterKeys {
  std::vector<std::string> keys;         // "id", "image"
  std::vector<std::string> ignore_case;  // "state", "type"
  bool labels = false;                   // label.KEY
};

class Filter {
 public:
  static constexpr size_t kMaxLength = 1024;

  static absl::StatusOr<Filter> Parse(std::string_view text, const FilterKeys& keys);

  // The value of a key; nothing where the thing has none.
  using Lookup = std::function<std::optional<std::string>(std::string_view key)>;

  bool Matches(const Lookup& lookup) const;

  bool empty() const { return terms_.empty(); }

 private:
  struct Term {
    std::string key;
    std::optional<std::string> value;  // nothing: is there
    bool prefix = false;
    bool negated = false;
    bool ignore_case = false;
  };

  std::vector<Term> terms_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_BASE_FILTER_H_
