// JSON pointers (RFC 6901): making, splitting and following them.
//
// Pure functions on text and documents: thread-compatible, nothing blocks.
#ifndef OCID_RUNTIME_OCI_JSON_POINTER_H_
#define OCID_RUNTIME_OCI_JSON_POINTER_H_

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace ocid {

// Appends "/" and the escaped token: "~" becomes "~0", "/" becomes "~1" (section 3).
void AppendPointerToken(std::string_view token, std::string& pointer);
std::string JoinPointer(std::string_view pointer, std::string_view token);
std::string JoinPointer(std::string_view pointer, size_t index);

// The unescaped tokens. "" names the whole document and has none. INVALID_ARGUMENT if the text does
// not begin with "/" or holds a "~" that is followed by neither 0 nor 1.
absl::StatusOr<std::vector<std::string>> SplitPointer(std::string_view pointer);

// An array index as section 4 has it: digits, no leading zero. Nothing for anything else.
std::optional<size_t> ParseArrayIndex(std::string_view token);

// The value that the pointer names; null if there is none or the pointer is malformed.
const nlohmann::json* ResolvePointer(const nlohmann::json& document, std::string_view pointer);
nlohmann::json* ResolvePointer(nlohmann::json& document, std::string_view pointer);

// The member of an object; null if `value` is no object or has no such member.
const nlohmann::json* FindMember(const nlohmann::json& value, std::string_view name);
nlohmann::json* FindMember(nlohmann::json& value, std::string_view name);

}  // namespace ocid

#endif  // OCID_RUNTIME_OCI_JSON_POINTER_H_
