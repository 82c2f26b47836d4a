// JSON text in and out: a strict, bounded parser and the canonical form.
//
// ParseJson is for text from outside: it refuses what a lenient parser would guess about, and the
// bounds hold before memory is spent, so that hostile text costs a short error. Its errors name the
// byte (from 1) and the JSON pointer where reading stopped.
//
// The canonical form is compact, with the members of each object sorted by the bytes of their
// names: equal documents have equal text, so a digest of it identifies a document. Writing it never
// fails; a string that is no valid UTF-8 is written byte by byte as it is.
//
// Pure functions: thread-compatible, nothing blocks.
// Source: RFC 8259; for duplicate members its section 4.
#ifndef OCID_RUNTIME_OCI_JSON_TEXT_H_
#define OCID_RUNTIME_OCI_JSON_TEXT_H_

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace ocid {

struct JsonLimits {
  size_t bytes = size_t{16} << 20;
  size_t depth = 100;               // arrays and objects inside each other
  size_t values = size_t{1} << 20;  // values of any kind in the whole document
};

// INVALID_ARGUMENT for text that is not exactly one JSON value within `limits`, for a member that
// occurs twice in one object, for invalid UTF-8 and for integers that no 64-bit type holds.
absl::StatusOr<nlohmann::json> ParseJson(std::string_view text, const JsonLimits& limits = {});

// Gives numbers the types that parsing gives them: integers that are not negative are unsigned.
// Documents made by code hold whatever type the code had, and readers ask for the type.
void NormalizeNumbers(nlohmann::json& value);

void AppendCanonicalJson(const nlohmann::json& value, std::string& out);
std::string CanonicalJson(const nlohmann::json& value);

// `text` as a JSON string with its quotes.
void AppendJsonString(std::string_view text, std::string& out);

// "sha256:" and 64 hexadecimal digits.
std::string Sha256Digest(std::string_view bytes);

// True if `text` is well-formed UTF-8 (RFC 3629: no surrogates, nothing overlong).
bool IsValidUtf8(std::string_view text);

}  // namespace ocid

#endif  // OCID_RUNTIME_OCI_JSON_TEXT_H_
