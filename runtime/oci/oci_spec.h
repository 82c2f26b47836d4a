// OciSpec: one OCI runtime configuration (config.json) as a document.
//
// The document keeps what this program does not know: members of newer specifications and of other
// runtimes survive parsing, editing and writing. It is always a JSON object; what shape the members
// have is for Validate (oci_validate.h) to say, and readers check before they use them.
//
// A value: copying copies the document. Thread-compatible; nothing blocks. A moved-from OciSpec is
// an empty document.
//
//   absl::StatusOr<OciSpec> spec = OciSpec::Parse(text);
//   const nlohmann::json* cwd = ResolvePointer(spec->json(), "/process/cwd");
//
// Source: opencontainers/runtime-spec config.md.
#ifndef OCID_RUNTIME_OCI_OCI_SPEC_H_
#define OCID_RUNTIME_OCI_OCI_SPEC_H_

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace ocid {

// The specification that this program implements and writes.
inline constexpr std::string_view kOciVersion = "1.3.0";

struct OciUser {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> additional_gids;
};

class OciSpec {
 public:
  OciSpec();                                  // {}
  explicit OciSpec(nlohmann::json document);  // must be an object
  OciSpec(const OciSpec& other);
  OciSpec(OciSpec&& other) noexcept;
  OciSpec& operator=(const OciSpec& other);
  OciSpec& operator=(OciSpec&& other) noexcept;
  ~OciSpec();

  // At most 16 MiB, nested at most 100 deep; strict as json_text.h has it. INVALID_ARGUMENT, reason
  // SPEC_TOO_LARGE or SPEC_MALFORMED, names the byte or JSON pointer of what is wrong. Checks the
  // text, not what it means.
  static absl::StatusOr<OciSpec> Parse(std::string_view text);

  const nlohmann::json& json() const { return *document_; }
  nlohmann::json& json() { return *document_; }

  std::string Canonical() const;  // compact, members sorted: equal documents, equal text
  std::string Digest() const;     // "sha256:<hex>" of Canonical()

  // Views. Each gives its empty value where the document has no such member or one of another type.
  std::string OciVersion() const;
  std::string RootPath() const;
  bool RootReadonly() const;
  std::string Hostname() const;
  std::string CgroupsPath() const;
  std::string Cwd() const;
  bool Terminal() const;
  bool HasProcess() const;
  OciUser User() const;
  std::vector<std::string> Args() const;
  std::vector<std::string> Env() const;
  std::map<std::string, std::string> Annotations() const;
  bool HasNamespace(std::string_view type) const;
  std::optional<std::string> EnvValue(std::string_view name) const;

  friend bool operator==(const OciSpec& a, const OciSpec& b);

 private:
  std::unique_ptr<nlohmann::json> document_;  // never null
};

// Strings of an array; elements of other types are left out. Empty if `array` is null or no array.
std::vector<std::string> StringsOf(const nlohmann::json* array);

}  // namespace ocid

#endif  // OCID_RUNTIME_OCI_OCI_SPEC_H_
