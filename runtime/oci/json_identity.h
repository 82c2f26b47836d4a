// Differences of two OCI specs as a minimal JSON patch (RFC 6902).
//
// The elements of an array are matched by what they are and not by where they stand: a mount by its
// destination, an environment entry by its name, a device by its path. One added mount is one "add"
// and a changed variable one "replace", wherever they are; an element that only changes its place
// is one "move". An array that none of the rules names is compared by position, after what both
// have in common at the front and at the end.
//
//   Diff({"mounts":[A,C]}, {"mounts":[A,B,C]})  ==  [{"op":"add","path":"/mounts/1","value":B}]
//
// Invariant: applying Diff(a, b) to a gives b. Pure functions: thread-compatible, nothing blocks.
#ifndef OCID_RUNTIME_OCI_JSON_IDENTITY_H_
#define OCID_RUNTIME_OCI_JSON_IDENTITY_H_

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ocid {

// How the elements of an array are told apart.
enum class ArrayIdentity {
  kPosition,  // by index
  kValue,     // by the whole value, a string or a number: capabilities, mount options, group ids
  kEnvName,   // by what stands before "="
  kMember,    // by one member of the element, such as "destination"
  kWhole,     // not at all: a changed array is replaced (arguments of a program)
};

struct ArrayRule {
  ArrayIdentity identity = ArrayIdentity::kPosition;
  std::string_view member;  // of kMember
};

// The rule for the array that the tokens of a JSON pointer name in an OCI spec.
ArrayRule ArrayRuleFor(const std::vector<std::string>& tokens);

// The identity of an element, as text; nothing where the rule does not apply to it.
std::optional<std::string> ElementIdentity(const ArrayRule& rule, const nlohmann::json& element);

// The patch that makes `after` of `before`; an empty array if they are equal.
nlohmann::json Diff(const nlohmann::json& before, const nlohmann::json& after);

// The same for one member of the root: the caller knows that no other differs, and that `same_front`
// elements at the front of that member, an array, do not.
void AppendMemberDiff(std::string_view member, const nlohmann::json& before,
                      const nlohmann::json& after, nlohmann::json& patch, size_t same_front = 0);

}  // namespace ocid

#endif  // OCID_RUNTIME_OCI_JSON_IDENTITY_H_
